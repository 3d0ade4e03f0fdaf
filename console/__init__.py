"""The `tickcast` command, the local stack and the services around the job."""
