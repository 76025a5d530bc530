"""Where the programs that models write are run, behind one small interface."""
