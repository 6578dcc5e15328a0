/* What the test programs share: every call says which code it must give, and nothing may leak. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nestling.h"

/* The call must give this code; 0 is success. The error is freed. */
#define EXPECT(code, call) expect((code), (call), #call, __LINE__)
#define OK(call) EXPECT(0, call)
#define CHECK(condition) check((condition) != 0, #condition, __LINE__)

static inline void expect(int32_t code, nest_error *error, const char *call, int line) {
    int32_t got = nest_error_code(error);
    if (got != code) {
        fprintf(stderr, "line %d: %s\n  gave %d (%s), not %d\n", line, call, (int)got, nest_error_message(error), (int)code);
        exit(1);
    }
    if (error != NULL && strlen(nest_error_message(error)) < 10) {
        fprintf(stderr, "line %d: %s\n  an error that says nothing\n", line, call);
        exit(1);
    }
    nest_error_free(error);
}

static inline void check(int holds, const char *condition, int line) {
    if (!holds) {
        fprintf(stderr, "line %d: %s does not hold\n", line, condition);
        exit(1);
    }
}

#endif
