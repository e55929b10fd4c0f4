/*
 * type.h - static types: what the checker deduces, and what declarations and signatures say.
 * Types are immutable; the parameterless ones are static, others live in an arena or are static.
 */
#ifndef SFI_CEL_TYPE_H
#define SFI_CEL_TYPE_H

#include "cel/arena.h"

enum sfi_cel_type_kind {
    SFI_CEL_TYPE_DYN,
    SFI_CEL_TYPE_NULL,
    SFI_CEL_TYPE_BOOL,
    SFI_CEL_TYPE_INT,
    SFI_CEL_TYPE_UINT,
    SFI_CEL_TYPE_DOUBLE,
    SFI_CEL_TYPE_STRING,
    SFI_CEL_TYPE_BYTES,
    SFI_CEL_TYPE_TIMESTAMP,
    SFI_CEL_TYPE_DURATION,
    SFI_CEL_TYPE_LIST,     /* param[0]: element */
    SFI_CEL_TYPE_MAP,      /* param[0]: key, param[1]: value */
    SFI_CEL_TYPE_TYPE,     /* param[0]: the type it names; NULL = unknown */
    SFI_CEL_TYPE_OPTIONAL, /* param[0]: what it may hold */
    SFI_CEL_TYPE_WRAPPER,  /* param[0]: bool, bytes, double, int, string or uint; also null */
    SFI_CEL_TYPE_IP,
    SFI_CEL_TYPE_CIDR,
    SFI_CEL_TYPE_TUPLE, /* param[0..2]; only in functions that tests declare */
    SFI_CEL_TYPE_PARAM  /* type parameter of a signature, or an unknown of the checker: `number` */
};

struct sfi_cel_type {
    enum sfi_cel_type_kind kind;
    uint32_t number; /* PARAM; WRAPPER: 32 for Int32Value, UInt32Value, FloatValue */
    const struct sfi_cel_type *param[3];
};

/* The static types; list and map ones have DYN parameters. */
extern const struct sfi_cel_type sfi_cel_type_dyn, sfi_cel_type_null, sfi_cel_type_bool,
    sfi_cel_type_int, sfi_cel_type_uint, sfi_cel_type_double, sfi_cel_type_string,
    sfi_cel_type_bytes, sfi_cel_type_timestamp, sfi_cel_type_duration, sfi_cel_type_list,
    sfi_cel_type_map, sfi_cel_type_type, sfi_cel_type_optional, sfi_cel_type_ip, sfi_cel_type_cidr;

/* The same type; equal names of parameters. NULL parameters are DYN. */
bool sfi_cel_type_equal(const struct sfi_cel_type *a, const struct sfi_cel_type *b);

/*
 * "int", "list(map(string, dyn))", "type(int)", "optional_type(int)", "null",
 * "google.protobuf.Timestamp" (parsed also from "timestamp"), "net.IP"; cut when longer.
 */
#define SFI_CEL_TYPE_TEXT 256
void sfi_cel_type_text(const struct sfi_cel_type *type, char out[SFI_CEL_TYPE_TEXT]);
/* Parse such a name; depth at most 16. CONFIG naming the text and the choices. */
shardy_status sfi_cel_type_parse(struct sfi_cel_arena *arena, const char *text,
                                 const struct sfi_cel_type **type, shardy_error *err);

#endif
