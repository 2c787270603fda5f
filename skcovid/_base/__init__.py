"""What every other room stands on: files, random numbers, threads, versions."""
