"""What runs within LightEval's own environment (launchers/eval-env), which has no r1lab.

Its files are run by path. They stand in a folder of their own because Python puts the folder of a
script first on its path, where r1lab/evaluation/statistics.py would hide the standard library's.
"""
