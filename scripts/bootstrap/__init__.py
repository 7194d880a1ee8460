"""Getting a checkout ready to run or to be tested; standard library only."""
