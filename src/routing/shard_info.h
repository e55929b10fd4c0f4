/*
 * shard_info.h - copies of public shard descriptions, for routers and manifests.
 */
#ifndef SFI_ROUTING_SHARD_INFO_H
#define SFI_ROUTING_SHARD_INFO_H

#include "base/status.h"

#include <shardyfusion/manifest.h>

/* Deep copy of a shard description (one allocation). */
shardy_status sfi_shard_info_copy(const shardy_shard_info *from, shardy_shard_info *to,
                                  shardy_error *err);

#endif
