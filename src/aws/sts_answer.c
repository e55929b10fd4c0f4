/*
 * sts_answer.c - the XML answers of STS: credentials, or an error with code and message.
 * Source: AWS Security Token Service API Reference, AssumeRole, AssumeRoleWithWebIdentity.
 *
 * Only element names and text are looked at. A DOCTYPE is refused, so there are no entities to
 * expand; depth is bounded, and size by the caller. Expat's memory is wiped like ours.
 */
#include "aws/credentials_internal.h"

#include <expat.h>

#define DEPTH_MAX 16

struct parser {
    XML_Parser xml;
    struct sfi_sts_answer *answer;
    unsigned depth;
    char **field; /* of the element being read, or NULL */
    char *text;   /* as large as the whole answer */
    size_t size;
    bool no_memory;
    const char *problem;
};

static void stop(struct parser *p, const char *problem)
{
    p->problem = problem;
    XML_StopParser(p->xml, XML_FALSE);
}

/* Names that occur once wherever they stand, in either kind of answer. */
static char **field_of(struct sfi_sts_answer *answer, const char *name)
{
    const struct {
        const char *name;
        char **field;
    } fields[] = {
        {"AccessKeyId", &answer->access_key_id},
        {"SecretAccessKey", &answer->secret_access_key},
        {"SessionToken", &answer->session_token},
        {"Expiration", &answer->expiration},
        {"Code", &answer->code},
        {"Message", &answer->message},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return fields[i].field;
        }
    }
    return NULL;
}

static void XMLCALL start_element(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct parser *p = arg;
    (void)attributes;
    if (++p->depth > DEPTH_MAX) {
        stop(p, "it is nested too deep");
        return;
    }
    p->field = field_of(p->answer, name);
    p->size = 0;
}

static void XMLCALL end_element(void *arg, const XML_Char *name)
{
    struct parser *p = arg;
    (void)name;
    p->depth--;
    if (p->field && !*p->field) {
        *p->field = sfi_secret_strndup(p->text, p->size);
        if (!*p->field) {
            p->no_memory = true;
            stop(p, "out of memory");
        }
    }
    p->field = NULL;
}

static void XMLCALL character_data(void *arg, const XML_Char *text, int size)
{
    struct parser *p = arg;
    if (p->field) {
        memcpy(p->text + p->size, text, (size_t)size);
        p->size += (size_t)size;
    }
}

static void XMLCALL start_doctype(void *arg, const XML_Char *name, const XML_Char *system,
                                  const XML_Char *public, int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    stop(arg, "it has a DOCTYPE");
}

shardy_status sfi_sts_answer_parse(struct sfi_bytes text, struct sfi_sts_answer *answer,
                                   shardy_error *err)
{
    static const XML_Memory_Handling_Suite memory = {sfi_secret_alloc, sfi_secret_realloc,
                                                     sfi_secret_free};
    shardy_status st = SHARDY_OK;
    struct parser p = {.answer = answer};
    memset(answer, 0, sizeof *answer);
    if (text.size > INT32_MAX / 4) {
        return sfi_fail(err, SHARDY_LIMIT, "the answer has %zu bytes", text.size);
    }
    /* Text is UTF-8 here; other encodings may grow threefold on the way. */
    p.text = sfi_secret_alloc(3 * text.size + 1);
    p.xml = XML_ParserCreate_MM(NULL, &memory, NULL);
    if (!p.text || !p.xml) {
        st = sfi_fail_memory(err, text.size);
        goto out;
    }
    XML_SetUserData(p.xml, &p);
    XML_SetElementHandler(p.xml, start_element, end_element);
    XML_SetCharacterDataHandler(p.xml, character_data);
    XML_SetStartDoctypeDeclHandler(p.xml, start_doctype);
    if (XML_Parse(p.xml, text.size ? (const char *)text.data : "", (int)text.size, XML_TRUE) !=
        XML_STATUS_OK) {
        p.no_memory = p.no_memory || XML_GetErrorCode(p.xml) == XML_ERROR_NO_MEMORY;
        st = p.no_memory
                 ? sfi_fail_memory(err, text.size)
                 : sfi_fail(err, SHARDY_INPUT, "the answer is not usable XML: %s",
                            p.problem ? p.problem : XML_ErrorString(XML_GetErrorCode(p.xml)));
    }
out:
    if (p.xml) {
        XML_ParserFree(p.xml);
    }
    sfi_secret_free(p.text);
    if (st != SHARDY_OK) {
        sfi_sts_answer_clear(answer);
    }
    return st;
}

void sfi_sts_answer_clear(struct sfi_sts_answer *answer)
{
    sfi_secret_free(answer->access_key_id);
    sfi_secret_free(answer->secret_access_key);
    sfi_secret_free(answer->session_token);
    sfi_secret_free(answer->expiration);
    sfi_secret_free(answer->code);
    sfi_secret_free(answer->message);
    memset(answer, 0, sizeof *answer);
}
