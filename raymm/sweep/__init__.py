"""Sweeps: the cells they are made of, what they plan, and how they are run and watched."""
