/*
 * model.h - what the publish protocol promises (invariants I1-I5), as a small model that watches
 * one simulated history and judges every claim against the whole of it.
 */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include "sim.h"

#define MODEL_ENTRIES_MAX 128u
#define MODEL_RUNS_MAX    8u
#define MODEL_REF_MAX     256u

/* One state of the pointer. */
struct model_entry {
    char bytes[1024];
    char ref[MODEL_REF_MAX];
    unsigned writer; /* actor */
};

/* What an actor was told. */
struct model_claim {
    bool made;
    bool crashed;
    bool read_only;
    bool rollback;
    bool expect;
    bool guarded;
    shardy_status status;
    char ref[MODEL_REF_MAX];      /* what it wanted to be current; "" = manifest not stored */
    char expected[MODEL_REF_MAX]; /* "" = no pointer */
    char replaced[MODEL_REF_MAX]; /* "" = none */
};

struct model {
    struct sim *sim;
    struct model_entry entries[MODEL_ENTRIES_MAX];
    unsigned count;
    struct model_claim claims[SIM_ACTORS_MAX];
    bool real_images; /* manifests come from real builds; else they equal model_image(run) */
};

void model_begin(struct model *model, struct sim *sim);
/* Look at the pointer after a request; `sim_actor` index of who sent it. */
void model_pointer_written(struct sim *sim, unsigned actor);
/* All claims are made and no request is on its way. */
void model_judge(struct model *model);
/* Whether `ref` ("" = none) was current at some moment since entry number `since` (a count). */
bool model_was_current(const struct model *model, const char *ref, unsigned since);

/* Manifest of run number `run`: made once, so that histories cost no SQLite. */
struct sfi_bytes model_image(unsigned run);
void model_images_free(void);
/* Key of the one shard object of a light run. */
void model_shard_key(unsigned run, char *key, size_t size);

#endif
