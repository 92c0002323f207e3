"""Names of the user attributes that a study and its trials carry in the database."""

# Of a trial.
STATUS = "status"  # status of its result
CAUSE = "cause"
SEED = "seed"  # training seed
SEEDS = "seeds"  # all training seeds of its configuration, one trial per seed; absent if there is only one
WORKER = "worker"  # worker that runs it
ORIGIN = "origin"  # default, enqueued, history or proposed; in a later stage, the name of the stage
HISTORY = "history"  # directory of an earlier study's trial whose result is reused
PROMOTED = "promoted"  # number of rungs from which the scheduler promoted it; absent if none
RETRY_OF = "retry_of"  # number of the trial that it repeats
LIVES = "lives"  # periods in which it ran

# Of a study.
ID = "id"  # that of the directory it belongs to
INFEASIBLE = "infeasible"  # number of rejected proposals by constraint
