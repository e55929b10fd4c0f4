/*
 * location.h - from what a person types to a snapshot prefix and a pointer name.
 */
#ifndef SHARDY_CLI_LOCATION_H
#define SHARDY_CLI_LOCATION_H

#include <stdbool.h>

struct location {
    char *url;          /* prefix, with scheme */
    char *current_name; /* name of the pointer object; NULL = _CURRENT */
};

/*
 * Resolve a folder, a pointer file or a URL of either.
 *
 * @param problem  receives a static text on failure
 * @return false when the text cannot be a location
 */
bool location_resolve(const char *text, struct location *location, const char **problem);

void location_clear(struct location *location);

#endif
