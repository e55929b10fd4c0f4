/*
 * context.h - `--routing-context KEY=VALUE`: the columns that the snapshot's expression reads.
 */
#ifndef SHARDY_CLI_CONTEXT_H
#define SHARDY_CLI_CONTEXT_H

#include "columns.h"
#include "session.h"

#define CONTEXT_OPTION                                                                            \
    {                                                                                             \
        "--routing-context", OPTION_LIST, "KEY=VALUE", NULL,                                      \
            "Column that routes, on snapshots sharded by an expression; may be given many times." \
    }

struct context {
    const shardy_context *use; /* NULL = the option was not given: route by the key */
    shardy_context value;
    shardy_context_entry *entries;
    char **names;
    struct buffer *texts;
    size_t count;
};

/*
 * Parse the values of the option by the types that the snapshot declares. Columns that it does not
 * declare are text, and ignored by it.
 * @return 0, or the exit code of a printed error result
 */
int context_parse(struct cli *cli, const struct session *session, const struct option_value *values,
                  struct context *context);
void context_clear(struct context *context);

#endif
