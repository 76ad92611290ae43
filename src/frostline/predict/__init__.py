"""A model in use: from pictures to what it says of them, in their own pixels. Nothing here needs torch."""
