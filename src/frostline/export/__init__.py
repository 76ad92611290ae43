"""A model as one file for other programs, written once it is proven to say the same."""
