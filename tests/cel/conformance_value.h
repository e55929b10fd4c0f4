/*
 * conformance_value.h - values as the conformance tests write them: {"int": "1"}, {"list": [...]}.
 */
#ifndef TESTS_CEL_CONFORMANCE_VALUE_H
#define TESTS_CEL_CONFORMANCE_VALUE_H

#include "cel/value.h"

#include <jansson.h>

/* false: a message, an enum or another value that is not CEL's own. Text is borrowed or copied. */
bool conformance_value(struct sfi_cel_frame *frame, const json_t *json,
                       struct sfi_cel_value *value);
/* Same kinds and values all through; NaN is NaN; entries of maps in any order. */
bool conformance_equal(struct sfi_cel_value a, struct sfi_cel_value b);

#endif
