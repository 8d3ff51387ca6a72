"""The ways out of the house: each turns an alert into what one kind of receiver understands."""
