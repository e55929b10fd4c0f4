/*
 * cel_eval.h - an expression over the rows of input files: results, shards, distribution.
 */
#ifndef SHARDY_CLI_CEL_EVAL_H
#define SHARDY_CLI_CEL_EVAL_H

#include <shardyfusion/router.h>

#include "input.h"

struct cel_eval {
    struct cli *cli;
    const shardy_cel *cel;
    const struct column_specs *specs;
    const shardy_router *router; /* NULL: the results cannot be shards */
    bool summary;                /* no line for each row */
};

/* Evaluate every row of the inputs and print. @return the exit code */
int cel_eval_run(const struct cel_eval *eval, struct input *input);

#endif
