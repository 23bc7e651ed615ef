"""Looks at a set-up and names what is wrong with it: `raymm doctor`."""
