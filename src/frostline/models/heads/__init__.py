"""Heads: what a task puts on a backbone. Each is one nn.Module and the last group of its model.

A head is built with the backbone it stands on and the number of classes, and is called with the backbone's feature
maps, finest first; where `reads_embedding` is set, also with the embedding of the last map. `maps` are the numbers of
the feature maps that it reads; the others may be None. `gives` names the kind of its output, so that a task can refuse
a head that answers another question.
"""
