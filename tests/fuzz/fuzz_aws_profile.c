/*
 * fuzz_aws_profile.c - any bytes as ~/.aws/config, as a credential_process command and as the URL
 * of a container's credentials.
 *
 * Invariant: the parser refuses the text, or every entry is trimmed, has a section, and the last
 * one of a name is what a look-up finds; words of a command are never longer than the command; no
 * URL with user information, white space or another scheme is allowed.
 */
#include "aws/credentials_internal.h"
#include "aws/ini.h"
#include "base/limits.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_trimmed(const char *text)
{
    size_t size = strlen(text);
    require(size == 0 || (!strchr(" \t\r\n", text[0]) && !strchr(" \t\r\n", text[size - 1])));
}

static void check_entry(const struct sfi_ini *ini, size_t i)
{
    const struct sfi_ini_entry *entry = &ini->entries[i];
    require(entry->section && *entry->section);
    require(sfi_ini_has(ini, "", entry->section));
    if (!entry->key) {
        return;
    }
    require(*entry->key);
    check_trimmed(entry->key);
    check_trimmed(entry->value);
    const char *found = sfi_ini_get(ini, "", entry->section, entry->key);
    require(found >= entry->value);
}

static void check_profile(const char *text, size_t size)
{
    struct sfi_ini ini;
    char *copy = sfi_secret_strndup(text, size);
    if (!copy || sfi_ini_parse(&ini, copy, size, "file", NULL) != SHARDY_OK) {
        return;
    }
    for (size_t i = 0; i < ini.count && i < 64; i++) {
        check_entry(&ini, i);
    }
    sfi_ini_clear(&ini);
}

static void check_command(const char *text)
{
    char **words;
    size_t count;
    size_t total = 0;
    if (sfi_process_split(text, &words, &count, NULL) != SHARDY_OK) {
        return;
    }
    require(count > 0 && count <= SFI_AWS_PROCESS_ARGS);
    for (size_t i = 0; i < count; i++) {
        total += strlen(words[i]);
    }
    require(total + count <= strlen(text) + 1);
    sfi_secret_free(words);
}

static void check_url(const char *text)
{
    if (sfi_container_url_allowed(text)) {
        size_t scheme = strcspn(text, ":");
        require((scheme == 4 || scheme == 5) && strncmp(text + scheme, "://", 3) == 0);
        require(!memchr(text + scheme + 3, '@', strcspn(text + scheme + 3, "/?#")));
        require(!strpbrk(text, " \t\r\n\\"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = sfi_secret_strndup(data, size);
    require(text != NULL);
    check_profile(text, size);
    check_command(text);
    check_url(text);
    sfi_secret_free(text);
    return 0;
}
