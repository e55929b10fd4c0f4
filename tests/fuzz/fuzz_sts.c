/*
 * fuzz_sts.c - any bytes as an answer of STS, and as the JSON of the other services.
 *
 * Invariant: an answer is refused, or its fields are strings no longer than the answer, and it has
 * no DOCTYPE; JSON is refused, or gives credentials that may stand in a header.
 */
#include "aws/credentials_internal.h"
#include "base/limits.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_xml(struct sfi_bytes text)
{
    struct sfi_sts_answer answer;
    if (sfi_sts_answer_parse(text, &answer, NULL) == SHARDY_OK) {
        const char *const fields[] = {answer.access_key_id, answer.secret_access_key,
                                      answer.session_token, answer.expiration,
                                      answer.code,          answer.message};
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            /* Latin-1 answers grow on the way to UTF-8. */
            require(!fields[i] || strlen(fields[i]) <= 3 * text.size);
        }
    }
    sfi_sts_answer_clear(&answer);
}

static void check_json(struct sfi_bytes text)
{
    static const struct sfi_credential_names names = {"AccessKeyId", "SecretAccessKey", "Token",
                                                      "Expiration"};
    struct sfi_credential_values values;
    if (sfi_values_parse(text, &names, "answer", &values, NULL) == SHARDY_OK) {
        require(sfi_is_token(values.access_key_id) && sfi_is_token(values.secret_access_key));
        require(!values.session_token || sfi_is_token(values.session_token));
    }
    sfi_values_clear(&values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sfi_bytes text = {data, size};
    if (size <= SFI_AWS_ANSWER_MAX) {
        check_xml(text);
        check_json(text);
    }
    return 0;
}
