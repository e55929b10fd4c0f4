/*
 * actors.h - who takes part in a simulated history: publishers, rollbacks, readers. Light ones call
 * the manifest store with a manifest made beforehand; full ones are real builds and real readers.
 */
#ifndef TESTS_MODEL_ACTORS_H
#define TESTS_MODEL_ACTORS_H

#include "model.h"

struct role {
    struct model *model;
    unsigned run;       /* publishers: number of the run, below MODEL_RUNS_MAX */
    bool expect;        /* policy EXPECT on what it saw first */
    bool manifest_only; /* exhaustive search: the shard is there already */
    unsigned rounds;    /* readers: refreshes */
};

void actor_publish(struct sim_actor *actor);  /* shard, manifest, pointer */
void actor_rollback(struct sim_actor *actor); /* some manifest of the history */
void actor_read(struct sim_actor *actor);     /* pointer, manifest */
void actor_build(struct sim_actor *actor);    /* shardy_writer_*, the whole of it */
void actor_look_up(struct sim_actor *actor);  /* shardy_reader_*: open, refresh, multi-get */
/* Publish run number `run` before the history starts. */
void publish_before(struct model *model, unsigned run);

#endif
