"""Transport plans between weighted clouds: marginal penalties and schedules."""
