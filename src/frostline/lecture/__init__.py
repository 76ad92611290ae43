"""An introductory lecture on convolutional networks, to be run: a file a part, which opens as a notebook, too."""
