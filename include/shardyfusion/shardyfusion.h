/*
 * shardyfusion - immutable, sharded key-value snapshots.
 *
 * A job writes a snapshot: shardy_writer_open, shardy_writer_add or shardy_writer_add_batch,
 * shardy_writer_finish. The rows are routed to N shards (HASH = XXH3-64 modulo N), every shard
 * becomes one plain SQLite file, a manifest lists them, and the tiny _CURRENT pointer is swapped to
 * the new manifest: readers see the old snapshot or the new one, never a mixture.
 *
 * A service reads it: shardy_reader_open, shardy_reader_get or shardy_reader_multi_get,
 * shardy_reader_refresh now and then. See the single headers for details and
 * libshardyfusion(3) for a tour.
 */
#ifndef SHARDYFUSION_H
#define SHARDYFUSION_H

#include <shardyfusion/arrow.h>
#include <shardyfusion/cel.h>
#include <shardyfusion/error.h>
#include <shardyfusion/key.h>
#include <shardyfusion/metrics.h>
#include <shardyfusion/manifest.h>
#include <shardyfusion/router.h>
#include <shardyfusion/store.h>
#include <shardyfusion/writer.h>
#include <shardyfusion/reader.h>
#include <shardyfusion/async.h>
#include <shardyfusion/verify.h>

#endif
