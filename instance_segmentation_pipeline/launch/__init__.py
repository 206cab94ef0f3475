"""Where jobs run: devices, and executors that run a job on one. What a job does is not known here."""
