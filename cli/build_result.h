/*
 * build_result.h - what `shardy build` prints.
 */
#ifndef SHARDY_CLI_BUILD_RESULT_H
#define SHARDY_CLI_BUILD_RESULT_H

#include <shardyfusion/writer.h>

#include "cli.h"

/* Print a finished build. */
void build_result_print(struct cli *cli, const shardy_build_result *result, double seconds);

/*
 * Print an error result. @param result  may name a manifest that was written but is not current
 * @return CLI_FAILED
 */
int build_result_fail(struct cli *cli, const char *message, const shardy_build_result *result);

#endif
