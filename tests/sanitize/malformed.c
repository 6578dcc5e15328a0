/* Damaged models through the C functions: every prefix and every flipped byte of the metadata's first part gives an
 * error, nothing is read outside the bytes given, and nothing leaks. Argument: a valid model. Run by ci/sanitize.sh. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nestling.h"

enum { PART = 4096, DAMAGED = 600 };

/* Opens exactly `length` bytes, in an allocation of that size, so that reading behind them is seen. */
static void must_be_refused(const uint8_t *bytes, size_t length, const char *what, size_t where) {
    uint8_t *copy = malloc(length ? length : 1);
    nest_source *source = NULL;
    nest_model *model = NULL;
    nest_string *json = NULL;
    memcpy(copy, bytes, length);
    nest_error *error = nest_source_new_memory(copy, length, &source);
    free(copy);
    if (error == NULL) {
        nest_error *inspected = nest_model_inspect(source, &json);
        error = nest_model_open(source, NULL, NULL, &model);
        if (nest_error_code(inspected) != nest_error_code(error) || json != NULL) {
            fprintf(stderr, "%s %zu: inspect says %d, open says %d\n", what, where, (int)nest_error_code(inspected),
                    (int)nest_error_code(error));
            exit(1);
        }
        nest_error_free(inspected);
    }
    if (error == NULL || model != NULL || nest_error_message(error)[0] == '\0') {
        fprintf(stderr, "%s %zu was accepted\n", what, where);
        exit(1);
    }
    nest_error_free(error);
    nest_source_free(source);
}

int main(int argc, char **argv) {
    uint8_t bytes[PART];
    size_t cases = 0;
    if (argc != 2) return fprintf(stderr, "usage: malformed MODEL\n"), 2;
    FILE *file = fopen(argv[1], "rb");
    if (file == NULL || fread(bytes, 1, PART, file) != PART) return perror(argv[1]), 1;
    fclose(file);

    for (size_t length = 0; length < PART; length += length < 64 ? 1 : 13, cases++)
        must_be_refused(bytes, length, "prefix", length);
    /* The tensors are missing, so a damaged byte must not make this valid either. */
    for (size_t at = 0; at < DAMAGED; at++) {
        const uint8_t masks[] = {0x01, 0x80, 0xff};
        for (size_t i = 0; i < sizeof masks; i++, cases++) {
            bytes[at] ^= masks[i];
            must_be_refused(bytes, PART, "byte", at);
            bytes[at] ^= masks[i];
        }
    }
    printf("%zu damaged models were refused\n", cases);
    return 0;
}
