"""PhysioNet / Computing in Cardiology Challenge 2012, from its official files: a packed data set."""
