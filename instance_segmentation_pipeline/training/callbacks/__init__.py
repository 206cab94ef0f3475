"""What ``callbacks`` of the YAML does while a stage trains: it stops it, sets its learning rate, or is told of it.

A ``StageCallback`` knows neither MMEngine nor other processes; ``hook`` calls all of them at their moments, and
``making`` makes them of what was declared. Those of the dialect run alike in all processes of a net, on the same
numbers; those of a project run in the first process, and what they decide is told to the others.
"""
