/*
 * session.h - the snapshot that a read command works on.
 */
#ifndef SHARDY_CLI_SESSION_H
#define SHARDY_CLI_SESSION_H

#include <shardyfusion/reader.h>

#include "cli.h"
#include "location.h"

struct session {
    struct location location;
    char *pin_ref;        /* manifest that --ref or --offset names; NULL = follow the pointer */
    shardy_log_sink logs; /* the reader holds a pointer to it */
    shardy_reader *reader;
    shardy_snapshot *snapshot;
    shardy_key_encoding key_encoding;
    uint32_t num_dbs; /* shards, empty ones included */
};

/* Find out where the snapshot is. @return 0, or the exit code of a printed error */
int session_locate(struct cli *cli, struct session *session);

/* session_locate(), then resolve --ref and --offset. */
int session_pin(struct cli *cli, struct session *session);

/* session_pin(), then open the reader and take its snapshot. */
int session_open(struct cli *cli, struct session *session);

void session_close(struct session *session);

#endif
