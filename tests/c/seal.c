/* Sealing: a model that only the right keys open, from C. */
#include "fixture.h"

static const char *model_path;

static nest_options *with_bytes(const char *kind, const char *key, uint8_t first, const char *other, const uint8_t *bytes) {
    nest_options *options = NULL;
    uint8_t secret[32];
    memset(secret, first, sizeof secret);
    OK(nest_options_new(kind, &options));
    OK(nest_options_set_bytes(options, key, secret, sizeof secret));
    if (other != NULL) {
        OK(nest_options_set_bytes(options, other, bytes, 32));
    }
    return options;
}

static void hex(const char *text, uint8_t *bytes) {
    static const char digits[] = "0123456789abcdef";
    int i;
    for (i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) * 16 + (strchr(digits, text[2 * i + 1]) - digits));
    }
}

/* Seals the model with both keys; `public_key` becomes the signer's. */
static void make(const char *path, uint8_t *public_key) {
    uint8_t sign[32];
    nest_options *options;
    nest_job *job = NULL;
    nest_model *model = NULL;
    nest_string *report = NULL;
    const char *found;
    float progress = 0;
    int32_t done = 0;
    memset(sign, 5, sizeof sign);
    options = with_bytes("seal", "key", 3, "sign_key", sign);
    OK(nest_options_set_int(options, "chunk_size", 4096));
    OK(nest_seal_job(model_path, path, options, NULL, &job));
    while (!done) {
        OK(nest_job_step(job, -1, &progress, &done));
    }
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_model(job, &model));
    OK(nest_job_take_report(job, &report));
    CHECK(strstr(nest_string_data(report), "\"encrypted\":true") != NULL);
    found = strstr(nest_string_data(report), "\"public_key\":\"");
    CHECK(found != NULL);
    hex(found + strlen("\"public_key\":\""), public_key);
    nest_string_free(report);
    nest_job_free(job);

    /* Not over what is there, and not without a key. */
    OK(nest_seal_job(model_path, path, options, NULL, &job));
    EXPECT(NEST_ERROR_OUTPUT_EXISTS, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_seal_job(model_path, path, NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_job_take_report(job, &report));
    nest_job_free(job);
    nest_options_free(options);
}

static void opens(const nest_source *source, const uint8_t *public_key) {
    nest_options *options = with_bytes("model", "key", 3, "public_key", public_key);
    nest_options *none = NULL;
    nest_model *model = NULL;
    nest_source *keyed = NULL;
    nest_string *said = NULL;
    nest_model_info info = {.struct_size = sizeof info};
    OK(nest_model_open(source, options, NULL, &model));
    OK(nest_model_get_info(model, &info));
    CHECK(info.n_layer > 0);
    nest_model_free(model);
    EXPECT(NEST_ERROR_SEAL_KEY_MISSING, nest_model_inspect(source, &said));
    OK(nest_source_new_with_keys(source, options, &keyed));
    OK(nest_model_inspect(keyed, &said));
    nest_string_free(said);
    nest_source_free(keyed);
    /* A key is never given out again. */
    OK(nest_options_get(options, "key", &said));
    CHECK(strcmp(nest_string_data(said), "set") == 0);
    nest_string_free(said);
    OK(nest_options_set_bytes(options, "key", NULL, 0));
    OK(nest_options_get(options, "key", &said));
    CHECK(nest_string_data(said)[0] == 0);
    nest_string_free(said);
    OK(nest_options_new("session", &none));
    keyed = (nest_source *)source;
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_source_new_with_keys(source, none, &keyed));
    CHECK(keyed == NULL);
    nest_options_free(none);
    nest_options_free(options);
}

/* The model as it was, for those who have the keys. */
static void undone(const char *path, const char *plain, const uint8_t *public_key) {
    nest_options *options = with_bytes("model", "key", 3, "public_key", public_key);
    nest_string *report = NULL;
    nest_job *job = NULL;
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_unseal_job(path, plain, options, 2, NULL, &job));
    OK(nest_unseal_job(path, plain, NULL, 0, NULL, &job));
    EXPECT(NEST_ERROR_SEAL_KEY_MISSING, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_unseal_job(path, plain, options, 0, NULL, &job));
    OK(nest_job_take_report(job, &report));
    CHECK(strstr(nest_string_data(report), "\"bytes\":") != NULL);
    nest_string_free(report);
    nest_job_free(job);
    OK(nest_unseal_job(path, plain, options, 0, NULL, &job));
    EXPECT(NEST_ERROR_OUTPUT_EXISTS, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_unseal_job(plain, path, options, 1, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_job_take_report(job, &report));
    nest_job_free(job);
    nest_options_free(options);
    remove(plain);
}

static void nulls(const nest_source *source) {
    nest_job *job = NULL;
    nest_source *keyed = NULL;
    EXPECT(NEST_ERROR_NULL_POINTER, nest_seal_job(NULL, "out", NULL, NULL, &job));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_seal_job("in", NULL, NULL, NULL, &job));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_seal_job("in", "out", NULL, NULL, NULL));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_unseal_job(NULL, "out", NULL, 0, NULL, &job));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_unseal_job("in", NULL, NULL, 0, NULL, &job));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_unseal_job("in", "out", NULL, 0, NULL, NULL));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_source_new_with_keys(NULL, NULL, &keyed));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_source_new_with_keys(source, NULL, NULL));
    CHECK(job == NULL && keyed == NULL);
}

static void refused(int32_t code, const nest_source *source, nest_options *options) {
    nest_model *model = (nest_model *)options;
    EXPECT(code, nest_model_open(source, options, NULL, &model));
    CHECK(model == NULL);
    nest_options_free(options);
}

static void all(fixture *f) {
    char path[4096], plain[4096];
    uint8_t public_key[32], other[32];
    nest_source *source = NULL;
    nest_options *options = NULL;
    memset(other, 9, sizeof other);
    snprintf(path, sizeof path, "%s/model.nest", f->directory);
    make(path, public_key);
    OK(nest_source_new_path(path, &source));
    nulls(source);
    opens(source, public_key);
    snprintf(plain, sizeof plain, "%s/plain.gguf", f->directory);
    undone(path, plain, public_key);
    refused(NEST_ERROR_SEAL_KEY_MISSING, source, NULL);
    refused(NEST_ERROR_SEAL_KEY_WRONG, source, with_bytes("model", "key", 4, "public_key", public_key));
    refused(NEST_ERROR_SEAL_SIGNER, source, with_bytes("model", "key", 3, "public_key", other));
    refused(NEST_ERROR_SEAL_NOT_ENCRYPTED, f->source, with_bytes("model", "key", 3, NULL, NULL));
    refused(NEST_ERROR_SEAL_NOT_SIGNED, f->source, with_bytes("model", "public_key", 9, NULL, NULL));
    OK(nest_options_new("model", &options));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_bytes(options, "key", other, 31));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_string(options, "key", "secret", -1));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_bytes(options, "device", other, 32));
    nest_options_free(options);
    nest_source_free(source);
    remove(path);
}

int main(int argc, char **argv) {
    model_path = argc > 1 ? argv[1] : "";
    return with_fixture(argc, argv, all);
}
