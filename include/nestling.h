/*
 * Nestling: a language model inside an app. Conventions of this header:
 *
 * Objects. Every object is an opaque handle. A function whose name ends in `_new`, `_open`, `_load`, `_fork` or
 * `_take_...`, or that gives handles through its last parameters, gives them to the caller, who frees each with its
 * object's `_free`. `_free(NULL)` does nothing. Handles may be freed in any order: what one still needs of another
 * stays alive. Freeing a handle while another thread is in a call with it cancels that call, which then returns and
 * releases. A handle must not be used after its `_free` returned. There is no global set-up and no shutdown.
 *
 * Errors. A function that can fail returns `nest_error *`: NULL is success; anything else is owned by the caller,
 * who reads `nest_error_code` (a `NEST_ERROR_...` number, never reused) and `nest_error_message` (what was wrong,
 * where, and what to do) and calls `nest_error_free`. On error every handle given out is NULL. The end of an answer
 * is not an error. When there is no memory even for an error, a static one is returned, whose free does nothing. A
 * mistake inside the library never ends the process: it is the error `NEST_ERROR_PANIC`, and the exclusive handles
 * of that call then give `NEST_ERROR_POISONED` until they are freed. Each of the few functions that cannot return an
 * error says what it returns instead.
 *
 * Threads. No handle is tied to a thread. `const T *` may be used by many threads at once. `T *` is exclusive: a
 * call that finds it in use by another thread returns `NEST_ERROR_BUSY` at once. Nothing is called back.
 *
 * Text. Text is UTF-8. A `const char *` alone ends with NUL; with an `int64_t` length it may hold NUL, and a length
 * of -1 says that it ends with NUL. Text given out is whole characters, with a NUL after its last byte. Text lent by
 * a `const` handle lives as long as the handle; text lent by an exclusive one lives until the next call with it.
 *
 * Structs. A struct to be filled begins with `struct_size`: set it to `sizeof` of the struct before each call. What
 * both sides know is written, and `struct_size` becomes the number of bytes written. Structs only ever grow.
 *
 * Numbers. A flag is an `int32_t`, 0 or 1; a choice is an `int32_t` constant; others are refused. Parameters named
 * `options` and `cancel` may be NULL: the defaults, and never cancelled. No other parameter may be, where not said.
 *
 * Cancelling. A `nest_cancel` stops what it was given to, from any thread, within one micro-batch of tokens
 * (`n_ubatch`), or one operation of a layer in training. A cancelled session or trainer stays usable.
 */

#ifndef NESTLING_H
#define NESTLING_H

#include <stdint.h>

/* The version of this header. */
#define NEST_VERSION "0.1.0"
#define NEST_VERSION_MAJOR 0
#define NEST_VERSION_MINOR 1
#define NEST_VERSION_PATCH 0

/* Define NEST_STATIC when linking the static library on Windows. */
#if defined(_WIN32) && !defined(NEST_STATIC)
#define NEST_API __declspec(dllimport)
#elif defined(__GNUC__)
#define NEST_API __attribute__((visibility("default")))
#else
#define NEST_API
#endif

/* An error that nobody looks at is an error that is never freed. */
#if defined(__GNUC__)
#define NEST_NODISCARD __attribute__((warn_unused_result))
#elif defined(_MSC_VER)
#define NEST_NODISCARD _Check_return_
#else
#define NEST_NODISCARD
#endif

/* Functions that a later version replaces. */
#if defined(__GNUC__)
#define NEST_DEPRECATED(text) __attribute__((deprecated(text)))
#elif defined(_MSC_VER)
#define NEST_DEPRECATED(text) __declspec(deprecated(text))
#else
#define NEST_DEPRECATED(text)
#endif

/* What may be NULL; Swift imports the rest as values that are there. */
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-extension"
#define NEST_NULLABLE _Nullable
#define NEST_NONNULL _Nonnull
#else
#define NEST_NULLABLE
#define NEST_NONNULL
#endif

#ifdef __cplusplus
extern "C" {
#endif


/* ---- Errors: a stable code, and a message that says what was wrong, where, and what to do. ---- */

/** An argument is out of range or makes no sense here. */
#define NEST_ERROR_INVALID_ARGUMENT 1
/** A required pointer is NULL. */
#define NEST_ERROR_NULL_POINTER 2
/** Text is not valid UTF-8. */
#define NEST_ERROR_INVALID_UTF8 3
/** No option has that name. */
#define NEST_ERROR_UNKNOWN_OPTION 4
/** An option's value has the wrong type or is out of range. */
#define NEST_ERROR_INVALID_OPTION 5
/** The handle is in use by another thread. */
#define NEST_ERROR_BUSY 6
/** An earlier internal failure left this handle unusable: free it. */
#define NEST_ERROR_POISONED 7
/** A bug in the library was caught at its border. */
#define NEST_ERROR_PANIC 8
/** The operation was cancelled by its token. */
#define NEST_ERROR_CANCELLED 9
/** Memory could not be allocated. */
#define NEST_ERROR_OUT_OF_MEMORY 10
/** The model, build or platform cannot do that. */
#define NEST_ERROR_UNSUPPORTED 11
/** The object is not in a state that allows the call (for example: a job's result taken twice). */
#define NEST_ERROR_WRONG_STATE 12
/** Something that cannot happen did: please report it. */
#define NEST_ERROR_INTERNAL 13
/** An out-struct's `struct_size` is smaller than the first version of that struct. */
#define NEST_ERROR_STRUCT_SIZE 14
/** The file or directory does not exist. */
#define NEST_ERROR_NOT_FOUND 100
/** The operating system denied access. */
#define NEST_ERROR_PERMISSION_DENIED 101
/** Reading or writing failed. */
#define NEST_ERROR_IO 102
/** The path is a directory, a device, or another thing that cannot be used as a file. */
#define NEST_ERROR_NOT_A_FILE 103
/** The file that should be written is there already. */
#define NEST_ERROR_OUTPUT_EXISTS 104
/** The file that should be written is one that is read. */
#define NEST_ERROR_OUTPUT_IS_INPUT 105
/** A file was written to by somebody else while it was read. */
#define NEST_ERROR_SOURCE_CHANGED 106
/** The file is shorter than its own structures say. */
#define NEST_ERROR_GGUF_TRUNCATED 200
/** The file does not begin with `GGUF`. */
#define NEST_ERROR_GGUF_MAGIC 201
/** The GGUF version is not 2 or 3, or the file has the other byte order. */
#define NEST_ERROR_GGUF_VERSION 202
/** The number of metadata entries cannot be true for a file of this size. */
#define NEST_ERROR_GGUF_KV_COUNT 203
/** The number of tensors cannot be true for a file of this size. */
#define NEST_ERROR_GGUF_TENSOR_COUNT 204
/** A metadata key is empty or too long. */
#define NEST_ERROR_GGUF_KEY 205
/** A metadata key occurs twice. */
#define NEST_ERROR_GGUF_DUPLICATE_KEY 206
/** A metadata value has an unknown type. */
#define NEST_ERROR_GGUF_VALUE_TYPE 207
/** A string is longer than what is left of the file. */
#define NEST_ERROR_GGUF_STRING_LENGTH 208
/** A string that must be text is not valid UTF-8. */
#define NEST_ERROR_GGUF_STRING_UTF8 209
/** An array is longer than what is left of the file. */
#define NEST_ERROR_GGUF_ARRAY_LENGTH 210
/** An array holds arrays. */
#define NEST_ERROR_GGUF_NESTED_ARRAY 211
/** A boolean is neither 0 nor 1. */
#define NEST_ERROR_GGUF_BOOL 212
/** `general.alignment` is not a power of two, or out of range. */
#define NEST_ERROR_GGUF_ALIGNMENT 213
/** A tensor's name is empty or too long. */
#define NEST_ERROR_GGUF_TENSOR_NAME 214
/** A tensor's name occurs twice. */
#define NEST_ERROR_GGUF_DUPLICATE_TENSOR 215
/** A tensor has no or too many dimensions. */
#define NEST_ERROR_GGUF_TENSOR_DIMS 216
/** A tensor dimension is zero, or their product overflows. */
#define NEST_ERROR_GGUF_TENSOR_SHAPE 217
/** A tensor's type is unknown. */
#define NEST_ERROR_GGUF_TENSOR_TYPE 218
/** A tensor's row size is not a multiple of its type's block size. */
#define NEST_ERROR_GGUF_TENSOR_BLOCK 219
/** A tensor's offset is not aligned. */
#define NEST_ERROR_GGUF_TENSOR_OFFSET 220
/** A tensor's data lies outside the file. */
#define NEST_ERROR_GGUF_TENSOR_BOUNDS 221
/** Two tensors share bytes. */
#define NEST_ERROR_GGUF_TENSOR_OVERLAP 222
/** A metadata key has the wrong type. */
#define NEST_ERROR_GGUF_KEY_TYPE 223
/** A required metadata key is missing. */
#define NEST_ERROR_GGUF_KEY_MISSING 224
/** A hyper-parameter is out of range. */
#define NEST_ERROR_GGUF_HYPER_PARAMETER 225
/** Head counts do not divide as they must. */
#define NEST_ERROR_GGUF_HEAD_COUNT 226
/** The vocabulary's arrays have different lengths, or do not match the embedding's rows. */
#define NEST_ERROR_GGUF_VOCAB_LENGTH 227
/** A special token's id is outside the vocabulary. */
#define NEST_ERROR_GGUF_SPECIAL_TOKEN 228
/** A required tensor is missing. */
#define NEST_ERROR_GGUF_TENSOR_MISSING 229
/** A tensor's shape does not follow from the hyper-parameters. */
#define NEST_ERROR_GGUF_TENSOR_MISMATCH 230
/** The architecture is unknown to the engine. */
#define NEST_ERROR_GGUF_ARCHITECTURE 231
/** The files of a split model do not belong together. */
#define NEST_ERROR_GGUF_SPLIT 232
/** A part of a split model is missing. */
#define NEST_ERROR_GGUF_SPLIT_MISSING 233
/** The tokenizer is unknown or its data is inconsistent. */
#define NEST_ERROR_GGUF_TOKENIZER 234
/** The file is a GGUF file of another kind (an adapter, a projector, an importance matrix). */
#define NEST_ERROR_GGUF_KIND 235
/** A metadata array has the wrong element type. */
#define NEST_ERROR_GGUF_ARRAY_TYPE 236
/** A token's text is invalid for its vocabulary (empty, duplicate or not text). */
#define NEST_ERROR_GGUF_TOKEN 237
/** The engine needs tensors one after the other, and aligned. */
#define NEST_ERROR_GGUF_TENSOR_LAYOUT 238
/** A tensor's type cannot be used where the tensor is used. */
#define NEST_ERROR_GGUF_TENSOR_ROLE 239
/** A per-layer array does not have one element for each layer. */
#define NEST_ERROR_GGUF_LAYER_ARRAY 240
/** The counts of a mixture of experts do not fit together. */
#define NEST_ERROR_GGUF_EXPERTS 241
/** A merge of the tokenizer is not two pieces. */
#define NEST_ERROR_GGUF_MERGE 242
/** A token marked as a byte does not name one. */
#define NEST_ERROR_GGUF_BYTE_TOKEN 243
/** The engine refused the model. */
#define NEST_ERROR_MODEL_LOAD 300
/** The engine failed while computing. */
#define NEST_ERROR_ENGINE 301
/** No device has that name. */
#define NEST_ERROR_DEVICE_NOT_FOUND 302
/** The plan does not fit in the available memory. */
#define NEST_ERROR_DOES_NOT_FIT 303
/** A token id is outside the vocabulary. */
#define NEST_ERROR_INVALID_TOKEN 400
/** The model has no tokenizer. */
#define NEST_ERROR_NO_TOKENIZER 401
/** The model has no chat template and none was named. */
#define NEST_ERROR_NO_TEMPLATE 402
/** A chat template does not parse. */
#define NEST_ERROR_TEMPLATE_SYNTAX 403
/** A chat template failed while rendering, or refused the messages. */
#define NEST_ERROR_TEMPLATE_RENDER 404
/** No built-in template has that name. */
#define NEST_ERROR_UNKNOWN_TEMPLATE 405
/** Messages are malformed for the request. */
#define NEST_ERROR_INVALID_MESSAGES 406
/** The prompt is empty. */
#define NEST_ERROR_EMPTY_PROMPT 500
/** The prompt is longer than the context. */
#define NEST_ERROR_PROMPT_TOO_LONG 501
/** The context is full. */
#define NEST_ERROR_CONTEXT_FULL 502
/** The model's cache cannot be shifted. */
#define NEST_ERROR_CANNOT_SHIFT 503
/** A text is longer than the model reads at once. */
#define NEST_ERROR_EMBEDDING_TOO_LONG 510
/** The model's file does not say how vectors become one, or the model does not give vectors. */
#define NEST_ERROR_EMBEDDING_POOLING 511
/** More dimensions were asked for than the model's vectors have. */
#define NEST_ERROR_EMBEDDING_DIMENSIONS 512
/** The model's file does not say with which token its decoder begins. */
#define NEST_ERROR_NO_DECODER_START 520
/** The file is not a session state of a version that this build reads. */
#define NEST_ERROR_STATE_FORMAT 600
/** The state is damaged. */
#define NEST_ERROR_STATE_DAMAGED 601
/** The state belongs to another model, adapter set or cache layout. */
#define NEST_ERROR_STATE_FOREIGN 602
/** The adapter does not fit this model. */
#define NEST_ERROR_ADAPTER_MISMATCH 700
/** The adapter file is not a LoRA adapter that this build reads. */
#define NEST_ERROR_ADAPTER_FORMAT 701
/** A tensor of an adapter is not a part of any pair, or there is none. */
#define NEST_ERROR_ADAPTER_TENSOR 702
/** One half of an adapter's pair is missing. */
#define NEST_ERROR_ADAPTER_PAIR 703
/** A tensor of an adapter is not a matrix. */
#define NEST_ERROR_ADAPTER_SHAPE 704
/** The two matrices of a pair have different ranks. */
#define NEST_ERROR_ADAPTER_RANK 705
/** A PEFT directory has no configuration or no weights, or they cannot be understood. */
#define NEST_ERROR_PEFT_FORMAT 706
/** A PEFT adapter does what a GGUF adapter cannot carry, or the other way round. */
#define NEST_ERROR_PEFT_UNSUPPORTED 707
/** A tensor of a PEFT adapter belongs to no module of its architecture that can be adapted. */
#define NEST_ERROR_PEFT_TENSOR 708
/** The base model that an adapter is for is not given, or does not say what is needed. */
#define NEST_ERROR_ADAPTER_BASE 709
/** The directory for an adapter holds files that are not an adapter's. */
#define NEST_ERROR_ADAPTER_DIRECTORY 710
/** The adapters cannot be averaged with one another. */
#define NEST_ERROR_ADAPTER_AVERAGE 711
/** No example is left to learn from. */
#define NEST_ERROR_DATASET_EMPTY 800
/** A line of a dataset file is malformed. */
#define NEST_ERROR_DATASET_LINE 801
/** The dataset file is not of a format that this build reads, or its header is unusable. */
#define NEST_ERROR_DATASET_FORMAT 802
/** An example cannot be turned into tokens to learn from. */
#define NEST_ERROR_DATASET_EXAMPLE 803
/** An example has more tokens than a row. */
#define NEST_ERROR_DATASET_TOO_LONG 804
/** An example's label is not among those that were asked for. */
#define NEST_ERROR_DATASET_LABEL 805
/** A LoRA target is unknown, or the model has no such weight. */
#define NEST_ERROR_LORA_TARGET 900
/** The rank does not fit the weights it should adapt. */
#define NEST_ERROR_LORA_RANK 901
/** The range of layers to adapt is empty or outside the model. */
#define NEST_ERROR_LORA_LAYERS 902
/** The file is not a training checkpoint that this build reads, or it is damaged. */
#define NEST_ERROR_CHECKPOINT_FORMAT 910
/** The checkpoint belongs to another model or dataset. */
#define NEST_ERROR_CHECKPOINT_FOREIGN 911
/** The loss or a gradient is not a finite number. */
#define NEST_ERROR_TRAINING_DIVERGED 920
/** A safetensors file is malformed, or holds numbers that cannot be read. */
#define NEST_ERROR_SAFETENSORS 1000
/** The directory has no weights that can be read, or files that its index names are missing. */
#define NEST_ERROR_CHECKPOINT_FILES 1001
/** A JSON file of a checkpoint is malformed, or lacks what it must say. */
#define NEST_ERROR_CHECKPOINT_CONFIG 1002
/** No architecture of that name can be converted. */
#define NEST_ERROR_CHECKPOINT_ARCHITECTURE 1003
/** A tensor of a checkpoint is missing, there twice, or of no known use. */
#define NEST_ERROR_CHECKPOINT_TENSOR 1004
/** A tensor of a checkpoint has another shape than its config.json says. */
#define NEST_ERROR_CHECKPOINT_SHAPE 1005
/** A checkpoint's tokenizer is malformed, or its parts do not fit together. */
#define NEST_ERROR_TOKENIZER_FILES 1050
/** No pre-tokenizer of the engine is known to cut text as this tokenizer does. */
#define NEST_ERROR_PRE_TOKENIZER 1051
/** No type or mix has that name, or a tensor's shape does not allow it. */
#define NEST_ERROR_QUANTIZE_TYPE 1100
/** A number of a tensor cannot be stored in the type that it shall have. */
#define NEST_ERROR_TENSOR_VALUE 1101
/** The file is not an importance matrix that this build reads, or it is damaged. */
#define NEST_ERROR_IMATRIX_FORMAT 1102
/** The text has too few tokens to measure a model with it. */
#define NEST_ERROR_TEXT_TOO_SHORT 1103
/** A tensor cannot be left out: the model needs it. */
#define NEST_ERROR_TENSOR_NEEDED 1104
/** The header of a sealed file is damaged. */
#define NEST_ERROR_SEAL_HEADER 1200
/** The file was sealed in a version of the format that this build does not read. */
#define NEST_ERROR_SEAL_VERSION 1201
/** A sealed file is shorter than its header says. */
#define NEST_ERROR_SEAL_TRUNCATED 1202
/** A sealed file is longer than its header says. */
#define NEST_ERROR_SEAL_TRAILING 1203
/** The file is encrypted and no key was given. */
#define NEST_ERROR_SEAL_KEY_MISSING 1204
/** The file was encrypted with another key. */
#define NEST_ERROR_SEAL_KEY_WRONG 1205
/** A key or a key file does not hold a key. */
#define NEST_ERROR_SEAL_KEY_FORMAT 1206
/** A key was given, but the file is not encrypted. */
#define NEST_ERROR_SEAL_NOT_ENCRYPTED 1207
/** A public key was given, but the file is not signed. */
#define NEST_ERROR_SEAL_NOT_SIGNED 1208
/** The file is signed, but not by the owner of the public key. */
#define NEST_ERROR_SEAL_SIGNER 1209
/** The signature does not belong to what is in the file. */
#define NEST_ERROR_SEAL_SIGNATURE 1210
/** The manifest of a sealed file is damaged. */
#define NEST_ERROR_SEAL_MANIFEST 1211
/** A chunk of a sealed file was changed, moved or taken from another file. */
#define NEST_ERROR_SEAL_CHUNK 1212
/** A part of a sealed file is not what its manifest says. */
#define NEST_ERROR_SEAL_DIGEST 1213
/** The file that should be sealed is sealed already. */
#define NEST_ERROR_SEAL_AGAIN 1214

/** Why a call failed. */
typedef struct nest_error nest_error;

/** The error's code: one of `NEST_ERROR_...`; 0 for NULL. Any thread. */
NEST_API int32_t nest_error_code(const nest_error *NEST_NONNULL error);

/** The error's message, lent by the error; empty for NULL. Any thread. */
NEST_API const char *NEST_NONNULL nest_error_message(const nest_error *NEST_NONNULL error);

/** Frees an error. NULL is fine. */
NEST_API void nest_error_free(nest_error *NEST_NULLABLE error);

/* ---- Text that was computed for the caller. ---- */

/** Owned text: UTF-8, with a NUL after its last byte. */
typedef struct nest_string nest_string;

/** The text, lent by the string: `nest_string_length` bytes and a NUL. Empty for NULL. Any thread. */
NEST_API const char *NEST_NONNULL nest_string_data(const nest_string *NEST_NONNULL string);

/** The number of bytes, without the NUL at the end; 0 for NULL. Any thread. */
NEST_API uint64_t nest_string_length(const nest_string *NEST_NONNULL string);

/** Frees a string. NULL is fine. */
NEST_API void nest_string_free(nest_string *NEST_NULLABLE string);

/* ---- Token ids that were computed for the caller. ---- */

/** An owned list of token ids. */
typedef struct nest_tokens nest_tokens;

/** The ids, lent by the list: `nest_tokens_length` of them; NULL for NULL or an empty list. Any thread. */
NEST_API const int32_t *NEST_NULLABLE nest_tokens_data(const nest_tokens *NEST_NONNULL tokens);

/** The number of ids; 0 for NULL. Any thread. */
NEST_API uint64_t nest_tokens_length(const nest_tokens *NEST_NONNULL tokens);

/** Frees a list. NULL is fine. */
NEST_API void nest_tokens_free(nest_tokens *NEST_NULLABLE tokens);

/* ---- What this library is. ---- */

/**
 * The version of this ABI that the header describes. A program compiled against one works with every library of the
 * same number.
 */
#define NEST_ABI_VERSION 0

/** The library's NEST_ABI_VERSION: compare it with the header's. Any thread. */
NEST_API uint32_t nest_abi_version(void);

/** The library's version, for example "0.1.0"; static. Any thread. */
NEST_API const char *NEST_NONNULL nest_version(void);

/**
 * What the library is, as a JSON object: version, engine, back ends, features, what the CPU has.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_build_info(
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/** The largest resident memory of this process so far, in bytes; 0 where the system does not say. Any thread. */
NEST_API uint64_t nest_peak_memory(void);

/* ---- The log: recent lines, read by polling. Nothing is printed; no line holds the text of a prompt or an answer. ---- */

/** Details for the developers of the library. */
#define NEST_LOG_DEBUG 0

/** What happens. */
#define NEST_LOG_INFO 1

/** Something unexpected that was dealt with. */
#define NEST_LOG_WARNING 2

/** Something failed; the failing call returns an error too. */
#define NEST_LOG_ERROR 3

/** One line of the log. */
typedef struct nest_log_line {
  /** sizeof(nest_log_line), set by the caller. */
  uint32_t struct_size;
  /** One of NEST_LOG_.... */
  int32_t level;
  /** Counts lines since the start of the process, from 0: a gap shows that lines were dropped. */
  uint64_t number;
} nest_log_line;

/**
 * Takes the oldest unread line of the process. `text` stays NULL when there is none; `line` is then as it was.
 *
 * Fills `line`, gives `text`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_log_poll(
    nest_log_line *NEST_NONNULL line,
    nest_string *NEST_NULLABLE *NEST_NONNULL text);

/* ---- Where a model, an adapter or a dataset comes from: a path, a part of an open file, or memory. ---- */

/** The bytes of a file, wherever they are. */
typedef struct nest_source nest_source;

/**
 * A file on disk. It is opened when the source is used, not here.
 *
 * Gives `source`. Any thread. Errors: NULL_POINTER, INVALID_UTF8.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_source_new_path(
    const char *NEST_NONNULL path,
    nest_source *NEST_NULLABLE *NEST_NONNULL source);

/**
 * A part of an open file: `length` bytes from `offset`, or the rest of the file if `length` is -1. The descriptor is
 * duplicated: the caller may close it at once. Its position is neither used nor moved.
 *
 * Gives `source`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, IO for a descriptor that is not open,
 * UNSUPPORTED where there are no file descriptors.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_source_new_descriptor(
    int32_t descriptor,
    uint64_t offset,
    int64_t length,
    nest_source *NEST_NULLABLE *NEST_NONNULL source);

/**
 * A whole file in memory. The bytes are copied: the caller may free them at once.
 *
 * Gives `source`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT for an empty list, OUT_OF_MEMORY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_source_new_memory(
    const uint8_t *NEST_NONNULL data,
    uint64_t length,
    nest_source *NEST_NULLABLE *NEST_NONNULL source);

/** Frees a source. What was opened from it goes on. NULL is fine. */
NEST_API void nest_source_free(nest_source *NEST_NULLABLE source);

/* ---- A token that stops a long call from any thread. ---- */

/** Stops everything it is given to, once triggered and for ever. */
typedef struct nest_cancel nest_cancel;

/**
 * A token that is not triggered.
 *
 * Gives `cancel`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_cancel_new(
    nest_cancel *NEST_NULLABLE *NEST_NONNULL cancel);

/** Stops what the token was given to; again and NULL are fine. Any thread. */
NEST_API void nest_cancel_trigger(const nest_cancel *NEST_NULLABLE cancel);

/** Whether the token was triggered: 0 or 1; 0 for NULL. Any thread. */
NEST_API int32_t nest_cancel_is_triggered(const nest_cancel *NEST_NULLABLE cancel);

/** Frees a token; what it was given to goes on. NULL is fine. */
NEST_API void nest_cancel_free(nest_cancel *NEST_NULLABLE cancel);

/** An adapter, loaded for one model, which it keeps alive. */
typedef struct nest_adapter nest_adapter;
/** A loaded model. */
typedef struct nest_model nest_model;
/** Options of one kind. */
typedef struct nest_options nest_options;
/** Work that runs on its own thread. */
typedef struct nest_job nest_job;

/* ---- LoRA adapters: small weights that change what a model says. ---- */

/** An adapter in numbers. */
typedef struct nest_adapter_info {
  /** sizeof(nest_adapter_info), set by the caller. */
  uint32_t struct_size;
  /** The inner width of its pairs; the largest, where they differ. */
  uint32_t rank;
  /** The scale before division by the rank; 0 stands for the scale 1. */
  float alpha;
  /** What its products are multiplied by, before the scale with which it is attached. */
  float scale;
  /** How many weights it changes. */
  uint64_t n_pairs;
  /** The numbers in its pairs. */
  uint64_t n_parameters;
  /** Bytes of its pairs. */
  uint64_t bytes;
} nest_adapter_info;

/**
 * Checks and loads an adapter (GGUF LoRA) for a model. Attach it with nest_options_add_adapter.
 *
 * Gives `adapter`. Any thread. Errors: NULL_POINTER, ADAPTER_... and GGUF_... for a bad file, ADAPTER_MISMATCH for one
 * of another model, WRONG_STATE for a vocab_only model, UNSUPPORTED on Windows, and those of
 * files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_adapter_open(
    const nest_model *NEST_NONNULL model,
    const nest_source *NEST_NONNULL source,
    nest_adapter *NEST_NULLABLE *NEST_NONNULL adapter);

/**
 * The adapter in numbers.
 *
 * Fills `info`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_adapter_get_info(
    const nest_adapter *NEST_NONNULL adapter,
    nest_adapter_info *NEST_NONNULL info);

/**
 * As nest_adapter_get_info, as a JSON object with the name, the architecture that it is for, the kinds of weights that it
 * changes (`targets`), and the digest.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_adapter_info_json(
    const nest_adapter *NEST_NONNULL adapter,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/**
 * The SHA-256 of the adapter's file, as hexadecimal text.
 *
 * Gives `digest`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_adapter_digest(
    const nest_adapter *NEST_NONNULL adapter,
    nest_string *NEST_NULLABLE *NEST_NONNULL digest);

/** Frees an adapter; sessions that use it go on. NULL is fine. */
NEST_API void nest_adapter_free(nest_adapter *NEST_NULLABLE adapter);

/* ---- Models: weights that any number of sessions share. ---- */

/** A model in numbers. Sizes in bytes. */
typedef struct nest_model_info {
  /** sizeof(nest_model_info), set by the caller. */
  uint32_t struct_size;
  /** The training context length in tokens. */
  uint32_t n_ctx_train;
  /** The number of weights. */
  uint64_t n_params;
  /** Size of all tensors. */
  uint64_t weight_bytes;
  /** Size of all files. */
  uint64_t file_bytes;
  /** Layers. */
  uint32_t n_layer;
  /** The width of the residual stream. */
  uint32_t n_embd;
  /** Query heads of the first layer. */
  uint32_t n_head;
  /** Key and value heads of the first layer. */
  uint32_t n_head_kv;
  /** The number of tokens of the vocabulary. */
  uint32_t n_vocab;
  /** Sliding-window length in tokens; 0 if there is none. */
  uint32_t n_swa;
  /** Layers on a GPU; more than the model has means all of them. */
  uint32_t n_gpu_layers;
  /** The number of files. */
  uint32_t n_files;
} nest_model_info;

/** What a session would take. Sizes in bytes. */
typedef struct nest_plan {
  /** sizeof(nest_plan), set by the caller. */
  uint32_t struct_size;
  /** The context length in tokens that the session would have. */
  uint32_t n_ctx;
  /** The model's weights, shared by its sessions. */
  uint64_t weights;
  /** The part of the weights that is mapped from the file and shared with other processes. */
  uint64_t weights_mapped;
  /** The KV cache, one per session. */
  uint64_t kv_cache;
  /** Buffers to compute with, one set per session. */
  uint64_t compute;
  /** All of it. */
  uint64_t total;
  /** What the host can give without swapping. */
  uint64_t host_available;
  /** What the host has. */
  uint64_t host_total;
  /** Whether it fits: 0 or 1. nest_model_plan_json says what to change if not. */
  int32_t fits;
  /** Always 0. */
  uint32_t reserved;
} nest_plan;

/**
 * Opens a model: checks every structure of the file, then maps or reads the weights. `options` of the kind "model". A
 * sealed file is verified whole with the options `key` and `public_key` and decrypted to private memory of the model's
 * size, never to a disk; the model does not keep the keys.
 *
 * Gives `model`. Any thread. Errors: NULL_POINTER, GGUF_... for a bad file, SEAL_... for a sealed one, MODEL_LOAD if the engine refuses it,
 * DEVICE_NOT_FOUND, INVALID_OPTION, CANCELLED, BUSY for options that are being changed, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_open(
    const nest_source *NEST_NONNULL source,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_model *NEST_NULLABLE *NEST_NONNULL model);

/**
 * As nest_model_open, on a worker thread: step the job, then take the model with nest_job_take_model.
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, BUSY; all others are the job's.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_open_job(
    const nest_source *NEST_NONNULL source,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/**
 * What a model file says about itself, after all checks, without loading weights: a JSON object.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER, GGUF_... for a bad file, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_inspect(
    const nest_source *NEST_NONNULL source,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/**
 * The model in numbers.
 *
 * Fills `info`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_get_info(
    const nest_model *NEST_NONNULL model,
    nest_model_info *NEST_NONNULL info);

/**
 * What nest_model_inspect says, of an open model.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_info_json(
    const nest_model *NEST_NONNULL model,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/**
 * A metadata value as text: scalars as written, arrays as JSON, cut after 1,000 elements. `value` stays NULL if the
 * model has no such key; that is no error.
 *
 * Gives `value`. Any thread. Errors: NULL_POINTER, INVALID_UTF8.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_metadata(
    const nest_model *NEST_NONNULL model,
    const char *NEST_NONNULL key,
    nest_string *NEST_NULLABLE *NEST_NONNULL value);

/** The number of metadata keys; 0 for NULL. Any thread. */
NEST_API uint64_t nest_model_metadata_count(const nest_model *NEST_NONNULL model);

/**
 * A metadata key, in the file's order; the first is number 0.
 *
 * Gives `key`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_metadata_key(
    const nest_model *NEST_NONNULL model,
    uint64_t index,
    nest_string *NEST_NULLABLE *NEST_NONNULL key);

/**
 * The memory that a session with these options would take with the weights, and whether it fits. Nothing is allocated
 * for it, no weights are read: opened with `vocab_only`, a model can be planned before it is loaded. `options` of the
 * kind "session".
 *
 * Fills `plan`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE, INVALID_OPTION, UNSUPPORTED, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_plan(
    const nest_model *NEST_NONNULL model,
    const nest_options *NEST_NULLABLE options,
    nest_plan *NEST_NONNULL plan);

/**
 * As nest_model_plan, as a JSON object with each device's share, and advice if it does not fit.
 *
 * Gives `json`. Any thread. Errors: as nest_model_plan.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_plan_json(
    const nest_model *NEST_NONNULL model,
    const nest_options *NEST_NULLABLE options,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/** Frees the buffers that closed sessions left for the next one. NULL is fine. Any thread. */
NEST_API void nest_model_trim(const nest_model *NEST_NONNULL model);

/** Frees a model; sessions, tokenizers and adapters made from it go on. NULL is fine. */
NEST_API void nest_model_free(nest_model *NEST_NULLABLE model);

/* ---- Options, set by name. A new option changes neither this header nor any binding: nest_options_reference lists them. ---- */

/**
 * The default options of a kind: "model", "session", "generation" (which includes sampling), "dataset", "trainer",
 * "evaluation", "adapter", "merge", "quantize", "seal", "embedding", "convert", "imatrix", "compare" or "prune".
 *
 * Gives `options`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT for an unknown kind.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_new(
    const char *NEST_NONNULL kind,
    nest_options *NEST_NULLABLE *NEST_NONNULL options);

/**
 * Sets an option that takes an integer, or a number.
 *
 * Exclusive: `options`. Errors: NULL_POINTER, INVALID_UTF8, BUSY, UNKNOWN_OPTION lists the keys, INVALID_OPTION says
 * what is accepted; the option then keeps its value.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_set_int(
    nest_options *NEST_NULLABLE options,
    const char *NEST_NONNULL key,
    int64_t value);

/**
 * Sets an option that takes a number.
 *
 * Exclusive: `options`. Errors: as nest_options_set_int.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_set_float(
    nest_options *NEST_NULLABLE options,
    const char *NEST_NONNULL key,
    double value);

/**
 * Sets an option that takes a flag: 0 or 1.
 *
 * Exclusive: `options`. Errors: as nest_options_set_int, and INVALID_ARGUMENT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_set_bool(
    nest_options *NEST_NULLABLE options,
    const char *NEST_NONNULL key,
    int32_t value);

/**
 * Sets any option from text: a word, a number, "auto", "true", ... `length` may be -1.
 *
 * Exclusive: `options`. Errors: as nest_options_set_int, and INVALID_ARGUMENT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_set_string(
    nest_options *NEST_NULLABLE options,
    const char *NEST_NONNULL key,
    const char *NEST_NONNULL value,
    int64_t length);

/**
 * Adds one element to an option that is a list (`stop`, ...). `length` may be -1.
 *
 * Exclusive: `options`. Errors: as nest_options_set_int, and INVALID_ARGUMENT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_add_string(
    nest_options *NEST_NULLABLE options,
    const char *NEST_NONNULL key,
    const char *NEST_NONNULL value,
    int64_t length);

/**
 * Sets an option that takes bytes: a key. The bytes are copied, never given out again, and wiped when the options are
 * freed; wipe your own copy. No bytes unset it.
 *
 * Exclusive: `options`. Errors: as nest_options_set_int, and INVALID_ARGUMENT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_set_bytes(
    nest_options *NEST_NULLABLE options,
    const char *NEST_NONNULL key,
    const uint8_t *NEST_NONNULL data,
    uint64_t length);

/**
 * Adds an adapter with its scale (usually 1) to options of the kind "session", "generation" or "evaluation", which keep
 * it alive. A generation whose options have adapters uses these and not those of its session.
 *
 * Exclusive: `options`. Errors: NULL_POINTER, BUSY, INVALID_ARGUMENT for another kind or a scale that is not finite.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_add_adapter(
    nest_options *NEST_NULLABLE options,
    const nest_adapter *NEST_NONNULL adapter,
    double scale);

/**
 * An option's value as text.
 *
 * Gives `value`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, BUSY, UNKNOWN_OPTION.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_get(
    const nest_options *NEST_NULLABLE options,
    const char *NEST_NONNULL key,
    nest_string *NEST_NULLABLE *NEST_NONNULL value);

/**
 * Every option of every kind, as a JSON list of `{"kind", "options": [{"key", "takes", "default", "doc"}]}`.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_options_reference(
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/** Frees options; what was made with them goes on. NULL is fine. */
NEST_API void nest_options_free(nest_options *NEST_NULLABLE options);

/* ---- Long work on a worker thread: step until it is done, then take its result. ---- */

/**
 * Waits for progress or the end, at most `timeout_ms` milliseconds; -1 waits as long as it takes. `progress` becomes
 * the part that is done, 0 to 1; `done` becomes 1 when the job has ended, well or not.
 *
 * Exclusive: `job`. Errors: NULL_POINTER, INVALID_ARGUMENT, BUSY. That the work failed is an error of taking its
 * result.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_job_step(
    nest_job *NEST_NONNULL job,
    int32_t timeout_ms,
    float *NEST_NONNULL progress,
    int32_t *NEST_NONNULL done);

/**
 * Asks the job to stop; it then ends with the error CANCELLED. Again, too late and NULL are fine. Any thread, also
 * while another one is in nest_job_step.
 */
NEST_API void nest_job_cancel(const nest_job *NEST_NONNULL job);

/**
 * The model that nest_model_open_job loaded; waits for the end when it has not been reached.
 *
 * Gives `model`. Exclusive: `job`. Errors: NULL_POINTER, BUSY, WRONG_STATE when it was taken before or for a job of
 * another kind, and those of nest_model_open.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_job_take_model(
    nest_job *NEST_NONNULL job,
    nest_model *NEST_NULLABLE *NEST_NONNULL model);

/**
 * What a job that makes a file did, as JSON; the function that began the job says which keys it has. Waits for the end
 * when it has not been reached.
 *
 * Gives `report`. Exclusive: `job`. Errors: NULL_POINTER, BUSY, WRONG_STATE when it was taken before or for a job of
 * another kind, and those of the work.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_job_take_report(
    nest_job *NEST_NONNULL job,
    nest_string *NEST_NULLABLE *NEST_NONNULL report);

/** Cancels a job that has not ended, waits for its end, and frees it. NULL is fine. */
NEST_API void nest_job_free(nest_job *NEST_NULLABLE job);

/* ---- Sealed files: encrypted, signed, or both. nest_model_open opens them with the options `key` and `public_key`. ---- */

/**
 * Seals a model's or an adapter's file, on a worker thread: encrypts it with the option `key`, signs it with `sign_key`,
 * or both; set them with nest_options_set_bytes. `options` of the kind "seal". The report of nest_job_take_report has
 * `model_bytes`, `bytes`, `encrypted`, `signed`, `public_key` (hexadecimal text, or null), `n_chunks`, `n_tensors` and
 * `sha256`, of the model.
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY; all others are the job's:
 * INVALID_OPTION without a key, GGUF_... for a bad file, SEAL_AGAIN, SOURCE_CHANGED, OUTPUT_EXISTS, OUTPUT_IS_INPUT,
 * CANCELLED, and those of files. Until it has succeeded, the output is as it was.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_seal_job(
    const char *NEST_NONNULL input,
    const char *NEST_NONNULL output,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/**
 * Writes the model or adapter that a sealed file holds, on a worker thread: from then on nothing protects it. Everything is
 * verified before the file is written. `options` of the kind "model": its `key` and `public_key`. `force` is 1 where the
 * output may be replaced, else 0. The report of nest_job_take_report has `bytes`, the length of the new file.
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY; all others are the job's:
 * INVALID_ARGUMENT for a file that is not sealed, SEAL_..., OUTPUT_EXISTS, OUTPUT_IS_INPUT, CANCELLED, and those of files.
 * Until it has succeeded, the output is as it was.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_unseal_job(
    const char *NEST_NONNULL input,
    const char *NEST_NONNULL output,
    const nest_options *NEST_NULLABLE options,
    int32_t force,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/**
 * The same source with the `key` and `public_key` of options of the kind "model", for sealed files where a function takes
 * no such options: adapters, and nest_model_inspect. The source keeps the keys until it is freed.
 *
 * Gives `keyed`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT for options of another kind, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_source_new_with_keys(
    const nest_source *NEST_NONNULL source,
    const nest_options *NEST_NULLABLE options,
    nest_source *NEST_NULLABLE *NEST_NONNULL keyed);

/* ---- Text to tokens and back. ---- */

/** Text. */
#define NEST_TOKEN_NORMAL 1

/** Stands for what the vocabulary does not have. */
#define NEST_TOKEN_UNKNOWN 2

/** Structure (BOS, end of turn, ...): not text. */
#define NEST_TOKEN_CONTROL 3

/** Added by the model's makers; read in any text. */
#define NEST_TOKEN_USER_DEFINED 4

/** Never used. */
#define NEST_TOKEN_UNUSED 5

/** One byte. */
#define NEST_TOKEN_BYTE 6

/** A model's tokenizer; keeps the model alive. */
typedef struct nest_tokenizer nest_tokenizer;

/** Facts about a vocabulary. A token that the model does not have is -1. */
typedef struct nest_tokenizer_info {
  /** sizeof(nest_tokenizer_info), set by the caller. */
  uint32_t struct_size;
  /** The number of tokens; ids go from 0 to one less. */
  uint32_t n_vocab;
  /** The token that begins a text. */
  int32_t bos;
  /** The token that ends a text. */
  int32_t eos;
  /** The token that ends a turn. */
  int32_t eot;
} nest_tokenizer_info;

/** Facts about one token. */
typedef struct nest_token_info {
  /** sizeof(nest_token_info), set by the caller. */
  uint32_t struct_size;
  /** The token's id. */
  int32_t id;
  /** One of NEST_TOKEN_.... */
  int32_t kind;
  /** Its score, for SentencePiece vocabularies. */
  float score;
  /** Whether it ends an answer: 0 or 1. */
  int32_t ends_generation;
} nest_token_info;

/**
 * The tokenizer of a model.
 *
 * Gives `tokenizer`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_tokenizer_new(
    const nest_model *NEST_NONNULL model,
    nest_tokenizer *NEST_NULLABLE *NEST_NONNULL tokenizer);

/**
 * The tokens of a text; `length` may be -1. `add_special`: add what the model wants around a text (BOS, ...).
 * `parse_special`: read the texts of special tokens as these tokens, only for text that is trusted; with 0 no text
 * can become a control token.
 *
 * Gives `tokens`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, NO_TOKENIZER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_tokenizer_encode(
    const nest_tokenizer *NEST_NONNULL tokenizer,
    const char *NEST_NONNULL text,
    int64_t length,
    int32_t add_special,
    int32_t parse_special,
    nest_tokens *NEST_NULLABLE *NEST_NONNULL tokens);

/**
 * The number of tokens of a text, as nest_tokenizer_encode would give.
 *
 * Any thread. Errors: as nest_tokenizer_encode.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_tokenizer_count(
    const nest_tokenizer *NEST_NONNULL tokenizer,
    const char *NEST_NONNULL text,
    int64_t length,
    int32_t add_special,
    int32_t parse_special,
    uint64_t *NEST_NONNULL count);

/**
 * The text of `n_tokens` tokens. `special`: 1 gives the text of control tokens, 0 leaves it out. Bytes that are not
 * UTF-8 become U+FFFD.
 *
 * Gives `text`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, INVALID_TOKEN, NO_TOKENIZER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_tokenizer_decode(
    const nest_tokenizer *NEST_NONNULL tokenizer,
    const int32_t *NEST_NONNULL tokens,
    uint64_t n_tokens,
    int32_t special,
    nest_string *NEST_NULLABLE *NEST_NONNULL text);

/**
 * Facts about the vocabulary.
 *
 * Fills `info`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_tokenizer_get_info(
    const nest_tokenizer *NEST_NONNULL tokenizer,
    nest_tokenizer_info *NEST_NONNULL info);

/**
 * Facts about one token, and its text as the model file spells it (byte-level BPE: in its byte alphabet).
 *
 * Fills `info`, gives `text`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE, INVALID_TOKEN, NO_TOKENIZER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_tokenizer_get_token(
    const nest_tokenizer *NEST_NONNULL tokenizer,
    int32_t token,
    nest_token_info *NEST_NONNULL info,
    nest_string *NEST_NULLABLE *NEST_NONNULL text);

/** Frees a tokenizer. NULL is fine. */
NEST_API void nest_tokenizer_free(nest_tokenizer *NEST_NULLABLE tokenizer);

/* ---- Tokens that arrive one by one, as whole characters. ---- */

/** Turns tokens into text one by one; keeps its tokenizer alive. */
typedef struct nest_decoder nest_decoder;

/**
 * A decoder. `special`: 1 gives the text of control tokens, 0 leaves it out.
 *
 * Gives `decoder`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_decoder_new(
    const nest_tokenizer *NEST_NONNULL tokenizer,
    int32_t special,
    nest_decoder *NEST_NULLABLE *NEST_NONNULL decoder);

/**
 * Adds a token. `text` is what is complete with it: whole characters, perhaps empty.
 *
 * Gives `text`. Exclusive: `decoder`. Errors: NULL_POINTER, BUSY, INVALID_TOKEN, NO_TOKENIZER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_decoder_push(
    nest_decoder *NEST_NONNULL decoder,
    int32_t token,
    nest_string *NEST_NULLABLE *NEST_NONNULL text);

/**
 * Ends the stream: an unfinished character becomes U+FFFD. The decoder can be used for the next one.
 *
 * Gives `text`. Exclusive: `decoder`. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_decoder_finish(
    nest_decoder *NEST_NONNULL decoder,
    nest_string *NEST_NULLABLE *NEST_NONNULL text);

/** Frees a decoder. NULL is fine. */
NEST_API void nest_decoder_free(nest_decoder *NEST_NULLABLE decoder);

/* ---- A conversation: messages of a role and parts, oldest first. The model's chat template makes them a prompt. ---- */

/** A conversation. */
typedef struct nest_messages nest_messages;

/**
 * An empty conversation.
 *
 * Gives `messages`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_messages_new(
    nest_messages *NEST_NULLABLE *NEST_NONNULL messages);

/**
 * A conversation from a JSON list of `{"role": ..., "content": ...}`: content is a string, a list of text parts, or
 * null; further fields (`name`, `tool_calls`, ...) are kept for the template. `length` may be -1.
 *
 * Gives `messages`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_MESSAGES names the message that is
 * malformed, UNSUPPORTED a part that is not text.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_messages_new_json(
    const char *NEST_NONNULL json,
    int64_t length,
    nest_messages *NEST_NULLABLE *NEST_NONNULL messages);

/**
 * Adds a message with one part of text. Usual roles are "system", "user", "assistant" and "tool"; the template
 * decides. `length` may be -1.
 *
 * Exclusive: `messages`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_messages_add(
    nest_messages *NEST_NONNULL messages,
    const char *NEST_NONNULL role,
    const char *NEST_NONNULL content,
    int64_t length);

/**
 * Adds a part of text to the last message. `length` may be -1.
 *
 * Exclusive: `messages`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY, WRONG_STATE if there is no
 * message yet.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_messages_add_part(
    nest_messages *NEST_NONNULL messages,
    const char *NEST_NONNULL content,
    int64_t length);

/**
 * The number of messages.
 *
 * Any thread. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_messages_count(
    const nest_messages *NEST_NONNULL messages,
    uint64_t *NEST_NONNULL count);

/** Frees a conversation. Generations made from it go on. NULL is fine. */
NEST_API void nest_messages_free(nest_messages *NEST_NULLABLE messages);

/* ---- Sessions: one sequence of tokens each, with its cache, sampler and adapters. ---- */

/** One conversation with a model, which it keeps alive. */
typedef struct nest_session nest_session;

/** A session's state, its memory in bytes, and the numbers of its last generation. */
typedef struct nest_session_stats {
  /** sizeof(nest_session_stats), set by the caller. */
  uint32_t struct_size;
  /** The context length in tokens. */
  uint32_t n_ctx;
  /** Tokens that the cache holds: the position of the next one. */
  uint64_t position;
  /** CPU threads. */
  uint32_t n_threads;
  /** Always 0. */
  uint32_t reserved;
  /** Bytes of the KV cache. */
  uint64_t kv_cache_bytes;
  /** Bytes of the buffers to compute with. */
  uint64_t compute_bytes;
  /** Tokens of the last prompt. */
  uint64_t prompt_tokens;
  /** Of these: reused from the cache. */
  uint64_t reused_tokens;
  /** Tokens of the last answer. */
  uint64_t generated_tokens;
  /** Seconds spent on the prompt. */
  double prompt_seconds;
  /** Seconds from the first call of nest_generation_next to the first token. */
  double first_token_seconds;
  /** Seconds spent on the answer after its first token. */
  double generation_seconds;
  /** Evaluated prompt tokens per second; 0 if nothing was evaluated. */
  double prompt_rate;
  /** Generated tokens per second after the first; 0 for fewer than two. */
  double generation_rate;
} nest_session_stats;

/**
 * An empty session. `options` of the kind "session"; adapters added to them are attached.
 *
 * Gives `session`. Any thread. Errors: NULL_POINTER, INVALID_OPTION, CANNOT_SHIFT, OUT_OF_MEMORY, UNSUPPORTED for
 * models that do not generate text, WRONG_STATE for a vocab_only model, ADAPTER_MISMATCH, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_new(
    const nest_model *NEST_NONNULL model,
    const nest_options *NEST_NULLABLE options,
    nest_session *NEST_NULLABLE *NEST_NONNULL session);

/**
 * A session that continues from a file of nest_session_save. `options` as for nest_session_new: threads, policies
 * and a longer context may differ; the adapters and their scales must be the same.
 *
 * Gives `session`. Any thread. Errors: as nest_session_new, STATE_FORMAT for another kind of file, STATE_DAMAGED,
 * STATE_FOREIGN for the state of another model, adapter set or cache layout, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_load(
    const nest_model *NEST_NONNULL model,
    const char *NEST_NONNULL path,
    const nest_options *NEST_NULLABLE options,
    nest_session *NEST_NULLABLE *NEST_NONNULL session);

/**
 * Writes the session to a file that only the user can read, whole or not at all. The file holds the conversation.
 *
 * Exclusive: `session`. Errors: NULL_POINTER, INVALID_UTF8, BUSY, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_save(
    nest_session *NEST_NONNULL session,
    const char *NEST_NONNULL path);

/**
 * A copy that continues on its own: the same tokens, cache, sampler and adapters.
 *
 * Gives `copy`. Exclusive: `session`. Errors: NULL_POINTER, BUSY, OUT_OF_MEMORY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_fork(
    nest_session *NEST_NONNULL session,
    nest_session *NEST_NULLABLE *NEST_NONNULL copy);

/**
 * Forgets all tokens; options and adapters stay.
 *
 * Exclusive: `session`. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_reset(
    nest_session *NEST_NONNULL session);

/**
 * Uses the adapters of these options from now on, none for NULL; other options are not looked at. Called between two
 * generations, it gives each of them its own adapters: nothing is loaded for it. A change forgets the cached tokens,
 * which were computed with the old ones, and ends a generation that has begun.
 *
 * Exclusive: `session`. Errors: NULL_POINTER, BUSY, INVALID_ARGUMENT, ADAPTER_MISMATCH.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_set_adapters(
    nest_session *NEST_NONNULL session,
    const nest_options *NEST_NULLABLE options);

/**
 * The tokens of the sequence: those of the cache, then the newest one if it is not evaluated yet.
 *
 * Gives `tokens`. Exclusive: `session`. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_tokens(
    nest_session *NEST_NONNULL session,
    nest_tokens *NEST_NULLABLE *NEST_NONNULL tokens);

/**
 * The session's state, its memory, and the numbers of its last generation.
 *
 * Fills `stats`. Exclusive: `session`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_get_stats(
    nest_session *NEST_NONNULL session,
    nest_session_stats *NEST_NONNULL stats);

/**
 * The text that messages become in the model's chat format. `options` of the kind "generation".
 *
 * Gives `text`. Exclusive: `session`. Errors: NULL_POINTER, BUSY, NO_TEMPLATE, UNKNOWN_TEMPLATE, TEMPLATE_SYNTAX,
 * TEMPLATE_RENDER, INVALID_OPTION.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_render_messages(
    nest_session *NEST_NONNULL session,
    const nest_messages *NEST_NONNULL messages,
    const nest_options *NEST_NULLABLE options,
    nest_string *NEST_NULLABLE *NEST_NONNULL text);

/**
 * The tokens that messages become, as a generation would evaluate them. `options` of the kind "generation".
 *
 * Gives `tokens`. Exclusive: `session`. Errors: as nest_session_render_messages, and EMPTY_PROMPT, NO_TOKENIZER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_encode_messages(
    nest_session *NEST_NONNULL session,
    const nest_messages *NEST_NONNULL messages,
    const nest_options *NEST_NULLABLE options,
    nest_tokens *NEST_NULLABLE *NEST_NONNULL tokens);

/**
 * The tokens that a text prompt becomes, as a generation would evaluate them. `length` may be -1; `options` of the
 * kind "generation".
 *
 * Gives `tokens`. Exclusive: `session`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY, NO_TOKENIZER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_encode_text(
    nest_session *NEST_NONNULL session,
    const char *NEST_NONNULL text,
    int64_t length,
    const nest_options *NEST_NULLABLE options,
    nest_tokens *NEST_NULLABLE *NEST_NONNULL tokens);

/**
 * Makes the session hold exactly these tokens, evaluating only what the cache does not hold; `n_reused` becomes how
 * many it held. After an error the session holds what was evaluated.
 *
 * Exclusive: `session`. Errors: NULL_POINTER, INVALID_ARGUMENT, BUSY, EMPTY_PROMPT, PROMPT_TOO_LONG, INVALID_TOKEN,
 * CANCELLED.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_evaluate(
    nest_session *NEST_NONNULL session,
    const int32_t *NEST_NONNULL tokens,
    uint64_t n_tokens,
    const nest_cancel *NEST_NULLABLE cancel,
    uint64_t *NEST_NONNULL n_reused);

/**
 * The logits of the last evaluated token, one for each token of the vocabulary; lent by the session until the next
 * call with it or with a generation of it.
 *
 * Exclusive: `session`. Errors: NULL_POINTER, BUSY, WRONG_STATE if nothing was evaluated yet.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_session_logits(
    nest_session *NEST_NONNULL session,
    const float *NEST_NULLABLE *NEST_NONNULL logits,
    uint64_t *NEST_NONNULL n_logits);

/** Frees a session; generations of it go on. NULL is fine. */
NEST_API void nest_session_free(nest_session *NEST_NULLABLE session);

/* ---- Answers, pulled piece by piece. ---- */

/** The answer goes on, or ended with an error. */
#define NEST_END_NONE 0

/** The model ended it. */
#define NEST_END_EOS 1

/** A stop text appeared. */
#define NEST_END_STOP_TEXT 2

/** A token of `stop_tokens` appeared. */
#define NEST_END_STOP_TOKEN 3

/** `max_tokens` were given. */
#define NEST_END_MAX_TOKENS 4

/** An answer that is being made; keeps its session alive. */
typedef struct nest_generation nest_generation;

/** One step of an answer. */
typedef struct nest_piece {
  /** sizeof(nest_piece), set by the caller. */
  uint32_t struct_size;
  /** The token's id; -1 for a last piece that only gives text held back before. */
  int32_t token;
  /** Text that is complete with this token, perhaps empty; lent by the generation until its next call. */
  const char *NEST_NONNULL text;
  /** Bytes of the text; a NUL follows them. */
  uint64_t text_length;
  /** ln p of the token under the model, before sampling options; NaN if not asked for. */
  float logprob;
  /** The number of alternatives, as the option `top_logprobs` asked for. */
  uint32_t n_top;
  /** The most likely tokens, best first; lent as the text; NULL if there are none. */
  const int32_t *NEST_NULLABLE top_tokens;
  /** ln p of each of them. */
  const float *NEST_NULLABLE top_logprobs;
} nest_piece;

/**
 * Records an answer to a text, continued as it is; `length` may be -1. The first nest_generation_next evaluates it.
 * `options` of the kind "generation".
 *
 * Gives `generation`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, INVALID_OPTION, BUSY for
 * options that are being changed.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_generation_new_text(
    nest_session *NEST_NONNULL session,
    const char *NEST_NONNULL text,
    int64_t length,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_generation *NEST_NULLABLE *NEST_NONNULL generation);

/**
 * As nest_generation_new_text, for token ids.
 *
 * Gives `generation`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, INVALID_OPTION, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_generation_new_tokens(
    nest_session *NEST_NONNULL session,
    const int32_t *NEST_NONNULL tokens,
    uint64_t n_tokens,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_generation *NEST_NULLABLE *NEST_NONNULL generation);

/**
 * As nest_generation_new_text, for a conversation, put into the model's chat format. The messages are copied.
 *
 * Gives `generation`. Any thread. Errors: NULL_POINTER, INVALID_OPTION, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_generation_new_messages(
    nest_session *NEST_NONNULL session,
    const nest_messages *NEST_NONNULL messages,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_generation *NEST_NULLABLE *NEST_NONNULL generation);

/**
 * The next piece. `has_piece` becomes 1 when there is one; 0 when the answer has ended: `piece` is then as it was.
 * After an error the answer has ended; the session stays usable and holds what was evaluated.
 *
 * Fills `piece`, with memory lent until the next call with the generation. Exclusive: `generation` and its session.
 * Errors: NULL_POINTER, STRUCT_SIZE, BUSY, CANCELLED, EMPTY_PROMPT, PROMPT_TOO_LONG, INVALID_TOKEN, CONTEXT_FULL,
 * NO_TEMPLATE, TEMPLATE_..., ADAPTER_MISMATCH, WRONG_STATE when the session has begun another generation or was reset.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_generation_next(
    nest_generation *NEST_NONNULL generation,
    nest_piece *NEST_NONNULL piece,
    int32_t *NEST_NONNULL has_piece);

/**
 * Why the answer ended: one of NEST_END_....
 *
 * Exclusive: `generation`. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_generation_end_reason(
    nest_generation *NEST_NONNULL generation,
    int32_t *NEST_NONNULL reason);

/** Frees a generation; its session goes on, with what was evaluated. NULL is fine. */
NEST_API void nest_generation_free(nest_generation *NEST_NULLABLE generation);

/* ---- Examples in memory, added one by one: what a dataset can be made of without a file. ---- */

/** A list of examples. */
typedef struct nest_examples nest_examples;

/**
 * An empty list.
 *
 * Gives `examples`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_examples_new(
    nest_examples *NEST_NULLABLE *NEST_NONNULL examples);

/**
 * Adds a conversation, which is copied. The assistant's turns are what is learned.
 *
 * Exclusive: `examples`. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_examples_add_messages(
    nest_examples *NEST_NONNULL examples,
    const nest_messages *NEST_NONNULL messages);

/**
 * Adds raw text and what follows it, with the white space between them; the completion is what is learned. Each length
 * may be -1.
 *
 * Exclusive: `examples`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_examples_add_completion(
    nest_examples *NEST_NONNULL examples,
    const char *NEST_NONNULL prompt,
    int64_t prompt_length,
    const char *NEST_NONNULL completion,
    int64_t completion_length);

/**
 * Adds raw text, all of which is learned. `length` may be -1.
 *
 * Exclusive: `examples`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_examples_add_text(
    nest_examples *NEST_NONNULL examples,
    const char *NEST_NONNULL text,
    int64_t length);

/**
 * Adds a text of a class; the label is what is learned. Each length may be -1.
 *
 * Exclusive: `examples`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_examples_add_labelled(
    nest_examples *NEST_NONNULL examples,
    const char *NEST_NONNULL text,
    int64_t text_length,
    const char *NEST_NONNULL label,
    int64_t label_length);

/**
 * Adds what a line of a JSONL file says: an object with "messages" and perhaps "tools", "prompt" and "completion",
 * "text", or "text" and "label". `length` may be -1.
 *
 * Exclusive: `examples`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY, DATASET_LINE says what is wrong.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_examples_add_json(
    nest_examples *NEST_NONNULL examples,
    const char *NEST_NONNULL json,
    int64_t length);

/**
 * The number of examples.
 *
 * Any thread. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_examples_count(
    const nest_examples *NEST_NONNULL examples,
    uint64_t *NEST_NONNULL count);

/** Frees a list; datasets made of it go on. NULL is fine. */
NEST_API void nest_examples_free(nest_examples *NEST_NULLABLE examples);

/* ---- Datasets: examples to learn from or to measure with, read and cleaned once. ---- */

/** A dataset, or a part of one. Parts share their examples, so splitting is cheap. */
typedef struct nest_dataset nest_dataset;

/** What reading and cleaning did. Parts of a dataset have the report of the whole. */
typedef struct nest_dataset_report {
  /** sizeof(nest_dataset_report), set by the caller. */
  uint32_t struct_size;
  /** The number of files. */
  uint32_t n_files;
  /** Rows read, bad ones included. */
  uint64_t rows;
  /** Bad lines that were skipped; nest_dataset_report_json says where the first 20 are, and what is wrong with them. */
  uint64_t bad_lines;
  /** Examples in which control characters were removed. */
  uint64_t strip_control;
  /** Examples in which characters were composed. */
  uint64_t unicode_nfc;
  /** Examples in which runs of white space were collapsed. */
  uint64_t collapse_space;
  /** Examples in which white space was trimmed. */
  uint64_t trim;
  /** Examples in which letters were made small. */
  uint64_t lower_case;
  /** Examples left out because they are empty. */
  uint64_t empty;
  /** Examples left out because they have fewer characters than `min_chars`. */
  uint64_t min_chars;
  /** Examples left out because they have more characters than `max_chars`. */
  uint64_t max_chars;
  /** Examples left out because they equal an earlier one. */
  uint64_t drop_duplicates;
  /** Examples that remain, of the whole dataset. */
  uint64_t examples;
} nest_dataset_report;

/**
 * Reads files one after the other and cleans what they hold: JSONL, CSV or plain text. `options` of the kind
 * "dataset".
 *
 * Gives `dataset`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, DATASET_LINE names file, line and reason of a bad
 * line (unless `bad_lines` is "skip"), DATASET_FORMAT, DATASET_EMPTY if no example is left, BUSY for options that are
 * being changed, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_dataset_open(
    const nest_source *NEST_NONNULL const *NEST_NONNULL sources,
    uint64_t n_sources,
    const nest_options *NEST_NULLABLE options,
    nest_dataset *NEST_NULLABLE *NEST_NONNULL dataset);

/**
 * Cleans examples that are in memory, which are copied. `options` of the kind "dataset".
 *
 * Gives `dataset`. Any thread. Errors: NULL_POINTER, DATASET_EMPTY if no example is left, BUSY for examples or options
 * that are being changed.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_dataset_new(
    const nest_examples *NEST_NONNULL examples,
    const nest_options *NEST_NULLABLE options,
    nest_dataset *NEST_NULLABLE *NEST_NONNULL dataset);

/** The number of examples; 0 for NULL. Any thread. */
NEST_API uint64_t nest_dataset_count(const nest_dataset *NEST_NONNULL dataset);

/**
 * What reading and cleaning did.
 *
 * Fills `report`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_dataset_get_report(
    const nest_dataset *NEST_NONNULL dataset,
    nest_dataset_report *NEST_NONNULL report);

/**
 * What reading and cleaning did, as a JSON object, with the files, and place and reason of the first 20 bad lines.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_dataset_report_json(
    const nest_dataset *NEST_NONNULL dataset,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/** The number of distinct labels: 0 when nothing is labelled, and for NULL. Any thread. */
NEST_API uint64_t nest_dataset_label_count(const nest_dataset *NEST_NONNULL dataset);

/**
 * A label, in alphabetical order; the first is number 0.
 *
 * Gives `label`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_dataset_label(
    const nest_dataset *NEST_NONNULL dataset,
    uint64_t index,
    nest_string *NEST_NULLABLE *NEST_NONNULL label);

/**
 * The SHA-256 of the cleaned examples in their order, as hexadecimal text: the same on every machine, whatever file
 * and format they came from.
 *
 * Gives `digest`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_dataset_digest(
    const nest_dataset *NEST_NONNULL dataset,
    nest_string *NEST_NULLABLE *NEST_NONNULL digest);

/** Frees a dataset; parts of it and trainings with it go on. NULL is fine. */
NEST_API void nest_dataset_free(nest_dataset *NEST_NULLABLE dataset);

/* ---- Parts of a dataset, each a dataset of its own: to train and to validate with, and folds. ---- */

/**
 * Parts to train and to validate with. The validation part has the share `fraction` of the examples, rounded, but at
 * least one if the fraction is not 0, and never all; each class has its share of it. The same seed gives the same parts.
 *
 * Gives `training` and `validation`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT for a fraction that is not in
 * 0..1 (1 excluded), or a single example.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_dataset_split(
    const nest_dataset *NEST_NONNULL dataset,
    double fraction,
    uint64_t seed,
    nest_dataset *NEST_NULLABLE *NEST_NONNULL training,
    nest_dataset *NEST_NULLABLE *NEST_NONNULL validation);

/**
 * The parts of fold number `index` of `k`, the first being number 0: each example is in the validation part of exactly
 * one fold, and these parts differ by one example at most, by one of each class too.
 *
 * Gives `training` and `validation`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT for a `k` that is less than 2 or
 * more than there are examples, or an `index` that is not below `k`.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_dataset_fold(
    const nest_dataset *NEST_NONNULL dataset,
    uint64_t k,
    uint64_t index,
    uint64_t seed,
    nest_dataset *NEST_NULLABLE *NEST_NONNULL training,
    nest_dataset *NEST_NULLABLE *NEST_NONNULL validation);

/* ---- Trainers: a LoRA adapter that learns from a dataset, step by step, on the model's quantized weights. Sessions of the model run beside it. A step depends on the model, the data, the options and the number of threads alone. ---- */

/** A training; keeps the model and the examples alive. */
typedef struct nest_trainer nest_trainer;

/**
 * A trainer for a new adapter. It maps the model's weights itself: a model opened with `vocab_only` can be trained, too,
 * without the memory of an open one. `validation` may be NULL: then the share `validation_fraction` of the data is held
 * out, if that option is set. `options` of the kind "trainer".
 *
 * Gives `trainer`. Any thread. Errors: NULL_POINTER, INVALID_OPTION, UNSUPPORTED for an architecture that cannot be
 * trained, LORA_TARGET, LORA_RANK, LORA_LAYERS, DOES_NOT_FIT says what would make it fit, those of making the examples
 * tokens (DATASET_EMPTY, DATASET_EXAMPLE, DATASET_TOO_LONG, NO_TEMPLATE, TEMPLATE_...), OUT_OF_MEMORY, BUSY for options
 * that are being changed.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_new(
    const nest_model *NEST_NONNULL model,
    const nest_dataset *NEST_NONNULL data,
    const nest_dataset *NEST_NULLABLE validation,
    const nest_options *NEST_NULLABLE options,
    nest_trainer *NEST_NULLABLE *NEST_NONNULL trainer);

/**
 * As nest_trainer_new, but goes on with an existing adapter (GGUF LoRA), whose rank, scale, targets and layers it keeps.
 * A file of nest_trainer_save_adapter is one.
 *
 * Gives `trainer`. Any thread. Errors: as nest_trainer_new, ADAPTER_... and GGUF_... for a bad file, ADAPTER_MISMATCH for
 * one of another model, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_continue_adapter(
    const nest_model *NEST_NONNULL model,
    const nest_dataset *NEST_NONNULL data,
    const nest_dataset *NEST_NULLABLE validation,
    const nest_options *NEST_NULLABLE options,
    const nest_source *NEST_NONNULL adapter,
    nest_trainer *NEST_NULLABLE *NEST_NONNULL trainer);

/**
 * A trainer that goes on where nest_trainer_save wrote the file, with its options, on the same model and data: it ends
 * with the same adapter, bit by bit, as if it had not been interrupted. `validation` may be NULL, as it was.
 *
 * Gives `trainer`. Any thread. Errors: as nest_trainer_new, CHECKPOINT_FORMAT for a damaged file or one of another kind,
 * CHECKPOINT_FOREIGN for one of another model or other data, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_resume(
    const nest_model *NEST_NONNULL model,
    const nest_dataset *NEST_NONNULL data,
    const nest_dataset *NEST_NULLABLE validation,
    const char *NEST_NONNULL path,
    nest_trainer *NEST_NULLABLE *NEST_NONNULL trainer);

/**
 * A copy of the training's options, to be read with nest_options_get: those of the checkpoint after resuming.
 *
 * Gives `options`. Exclusive: `trainer`. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_get_options(
    nest_trainer *NEST_NONNULL trainer,
    nest_options *NEST_NULLABLE *NEST_NONNULL options);

/**
 * The adapter as it is now, for sessions of the same model: attach it with nest_options_add_adapter. Later steps do not
 * change it.
 *
 * Gives `adapter`. Exclusive: `trainer`. Errors: NULL_POINTER, BUSY, OUT_OF_MEMORY, WRONG_STATE for a vocab_only model,
 * UNSUPPORTED on Windows.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_adapter(
    nest_trainer *NEST_NONNULL trainer,
    nest_adapter *NEST_NULLABLE *NEST_NONNULL adapter);

/**
 * Writes the adapter as it is now as a GGUF LoRA file, whole or not at all; `name` becomes its `general.name`.
 *
 * Exclusive: `trainer`. Errors: NULL_POINTER, INVALID_UTF8, BUSY, and those of files: what was there before stays.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_save_adapter(
    nest_trainer *NEST_NONNULL trainer,
    const char *NEST_NONNULL path,
    const char *NEST_NONNULL name);

/**
 * Writes a checkpoint, which nest_trainer_resume goes on from, to a file that only the user can read, whole or not at all.
 *
 * Exclusive: `trainer`. Errors: NULL_POINTER, INVALID_UTF8, BUSY, and those of files: what was there before stays.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_save(
    nest_trainer *NEST_NONNULL trainer,
    const char *NEST_NONNULL path);

/** Frees a trainer; what is not saved is lost. NULL is fine. */
NEST_API void nest_trainer_free(nest_trainer *NEST_NULLABLE trainer);

/* ---- The memory of a training, before it is taken. ---- */

/** What a training takes beside the model's weights, which stay in their mapped file. Bytes, where nothing else is said. */
typedef struct nest_training_plan {
  /** sizeof(nest_training_plan), set by the caller. */
  uint32_t struct_size;
  /** Whether it fits: 0 or 1. nest_trainer_plan_json says what to change if not. */
  int32_t fits;
  /** Tokens in a row at most. */
  uint64_t n_ctx;
  /** Parameters that are trained. */
  uint64_t n_parameters;
  /** The parameters with their gradients, each twice: where it is computed, and for the optimizer. */
  uint64_t parameters;
  /** What the optimizer keeps. */
  uint64_t optimizer;
  /** The inputs of all layers, masks, and the other tensors that a row goes through. */
  uint64_t activations;
  /** Layers, from the last on, that keep what the way back needs; the others are computed a second time. */
  uint64_t stored_layers;
  /** What these layers keep. */
  uint64_t stored;
  /** Intermediate results of the layer that takes most. */
  uint64_t compute;
  /** Gradients and states on their way between steps of the computation. */
  uint64_t buffers;
  /** All of it. */
  uint64_t total;
  /** What may be taken: the option `memory_budget`, or a share of what is free. */
  uint64_t budget;
} nest_training_plan;

/**
 * The memory that a training with a new adapter would take, and whether it fits. Nothing is allocated for it but the
 * adapter's own parameters. `validation` may be NULL; `options` of the kind "trainer".
 *
 * Fills `plan`. Any thread. Errors: STRUCT_SIZE, and those of nest_trainer_new without DOES_NOT_FIT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_plan(
    const nest_model *NEST_NONNULL model,
    const nest_dataset *NEST_NONNULL data,
    const nest_dataset *NEST_NULLABLE validation,
    const nest_options *NEST_NULLABLE options,
    nest_training_plan *NEST_NONNULL plan);

/**
 * As nest_trainer_plan, as a JSON object with the advice what to change if it does not fit.
 *
 * Gives `json`. Any thread. Errors: those of nest_trainer_new without DOES_NOT_FIT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_plan_json(
    const nest_model *NEST_NONNULL model,
    const nest_dataset *NEST_NONNULL data,
    const nest_dataset *NEST_NULLABLE validation,
    const nest_options *NEST_NULLABLE options,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/**
 * The memory that a trainer takes.
 *
 * Fills `plan`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_get_plan(
    nest_trainer *NEST_NONNULL trainer,
    nest_training_plan *NEST_NONNULL plan);

/* ---- Training, step by step, and measuring in between. ---- */

/**
 * What a step of a training did. Of one whose validation alone was left to a resumed training, only the loss, the step
 * size and the validation are known: counts are 0 then, other numbers NaN.
 */
typedef struct nest_training_step {
  /** sizeof(nest_training_step), set by the caller. */
  uint32_t struct_size;
  /** Whether it was the last one: 0 or 1. */
  int32_t finished;
  /** Steps done, with this one. */
  uint64_t step;
  /** Steps that there will be, unless early stopping ends the training. */
  uint64_t total_steps;
  /** Whole passes over the examples done. */
  uint64_t epoch;
  /** Mean of -ln p over the step's learned tokens, in nats, before the step. */
  double loss;
  /** Share of these tokens that were the most likely ones, 0 to 1. */
  double accuracy;
  /** The step size. */
  double learning_rate;
  /** L2 norm of all gradients before clipping. */
  double grad_norm;
  /** Tokens that went through the model. */
  uint64_t tokens;
  /** Of these: tokens that were learned. */
  uint64_t loss_tokens;
  /** Seconds that the step took, validation aside. */
  double seconds;
  /** The validation loss in nats; NaN if the step was not followed by a validation. */
  double validation_loss;
  /** Whether the step was followed by a validation: 0 or 1. */
  int32_t validated;
  /** Whether the validation loss is the best so far: 0 or 1. Then is the time for nest_trainer_save_adapter. */
  int32_t best;
} nest_training_step;

/** How well a model with an adapter predicts a dataset. */
typedef struct nest_training_evaluation {
  /** sizeof(nest_training_evaluation), set by the caller. */
  uint32_t struct_size;
  /** Always 0. */
  uint32_t reserved;
  /** Mean of -ln p over the tokens to predict, in nats. */
  double loss;
  /** e to the power of the loss. */
  double perplexity;
  /** Share of the tokens that were the most likely ones, 0 to 1. */
  double accuracy;
  /** The number of tokens to predict. */
  uint64_t tokens;
} nest_training_evaluation;

/**
 * One step, and the validation that is due after it. `has_step` becomes 1 when there was one; 0 when the training is
 * finished: `step` is then as it was. After an error the adapter is what it was before the step, or, if the validation
 * was cancelled, the step is done and the next call validates: call again, or save. Between two steps a training is
 * paused, as long as the caller likes.
 *
 * Fills `step`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY, CANCELLED, TRAINING_DIVERGED when the loss
 * or a gradient is not a finite number.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_step(
    nest_trainer *NEST_NONNULL trainer,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_training_step *NEST_NONNULL step,
    int32_t *NEST_NONNULL has_step);

/**
 * How well the model predicts a dataset with the adapter as it is now; the training does not change. Its options say how
 * examples become tokens.
 *
 * Fills `evaluation`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY, CANCELLED, and those of making the
 * examples tokens, as nest_trainer_new.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_evaluate(
    nest_trainer *NEST_NONNULL trainer,
    const nest_dataset *NEST_NONNULL data,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_training_evaluation *NEST_NONNULL evaluation);

/* ---- What became of a training's examples, and how far it came. ---- */

/** What became of the training examples when they were made tokens. */
typedef struct nest_encoding_report {
  /** sizeof(nest_encoding_report), set by the caller. */
  uint32_t struct_size;
  /** Always 0. */
  uint32_t reserved;
  /** Examples that became tokens, truncated ones included. */
  uint64_t encoded;
  /** Examples whose end was cut off. */
  uint64_t truncated;
  /** Examples dropped because they are longer than a row. */
  uint64_t too_long;
  /** Examples dropped because nothing to learn was left of them in the row. */
  uint64_t nothing_to_learn;
  /** Examples dropped because they cannot be put into the model's chat format. */
  uint64_t bad;
  /** Tokens of all examples. */
  uint64_t tokens;
  /** Tokens that are to be learned. */
  uint64_t loss_tokens;
} nest_encoding_report;

/** How far a training came. */
typedef struct nest_training_progress {
  /** sizeof(nest_training_progress), set by the caller. */
  uint32_t struct_size;
  /** Whether all steps are done, or early stopping ended the training: 0 or 1. */
  int32_t finished;
  /** Steps done. */
  uint64_t step;
  /** Steps that there will be, unless early stopping ends the training. */
  uint64_t total_steps;
  /** Whole passes over the examples done. */
  uint64_t epoch;
  /** Examples of the current pass done. */
  uint64_t cursor;
  /** Tokens that went through the model. */
  uint64_t tokens;
  /** The best validation loss in nats; NaN before the first validation. */
  double best_validation_loss;
  /** Validations since the best one. */
  uint64_t without_improvement;
} nest_training_progress;

/**
 * What became of the training examples when they were made tokens.
 *
 * Fills `report`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_get_encoding(
    nest_trainer *NEST_NONNULL trainer,
    nest_encoding_report *NEST_NONNULL report);

/**
 * As nest_trainer_get_encoding, as a JSON object with the reasons for the first 20 examples that are bad.
 *
 * Gives `json`. Exclusive: `trainer`. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_encoding_json(
    nest_trainer *NEST_NONNULL trainer,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/**
 * How far the training came.
 *
 * Fills `progress`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_get_progress(
    nest_trainer *NEST_NONNULL trainer,
    nest_training_progress *NEST_NONNULL progress);

/**
 * As nest_trainer_get_progress, as a JSON object with the `losses` of all steps, and as `validation` the pairs of a
 * step's number and the validation loss after it: what a curve is drawn from, also after resuming.
 *
 * Gives `json`. Exclusive: `trainer`. Errors: NULL_POINTER, BUSY.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_trainer_progress_json(
    nest_trainer *NEST_NONNULL trainer,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/* ---- Evaluations: how well a model predicts a dataset, alone or with adapters. ---- */

/** What an evaluation found. */
typedef struct nest_evaluation nest_evaluation;

/** An evaluation in numbers. */
typedef struct nest_evaluation_report {
  /** sizeof(nest_evaluation_report), set by the caller. */
  uint32_t struct_size;
  /** Whether labelled examples were classified: 0 or 1. */
  int32_t classified;
  /** Mean of -ln p over the tokens to predict, in nats. */
  double loss;
  /** e to the power of the loss. */
  double perplexity;
  /** Share of the tokens to predict that were the most likely ones, 0 to 1. */
  double token_accuracy;
  /** The number of tokens to predict. */
  uint64_t tokens;
  /** Examples measured. */
  uint64_t examples;
  /** Of these: examples whose end was cut off. */
  uint64_t truncated;
  /** Examples left out; nest_evaluation_report_json says why. */
  uint64_t dropped;
  /** Share of the labels that were found, 0 to 1; NaN if nothing was classified, as for the next three. */
  double label_accuracy;
  /** Mean of the classes' precisions. */
  double macro_precision;
  /** Mean of the classes' recalls. */
  double macro_recall;
  /** Mean of the classes' F1. */
  double macro_f1;
  /** Seconds that it took. */
  double seconds;
} nest_evaluation_report;

/**
 * Measures how well a model predicts a dataset, with the adapters of the options. `options` of the kind "evaluation".
 * Labelled examples are classified: of the option `labels`, or of the dataset's own labels, the most likely is chosen.
 *
 * Gives `evaluation`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, INVALID_OPTION, BUSY for options that are being
 * changed, DATASET_LABEL names an example whose label cannot be chosen, those of making examples tokens (DATASET_...),
 * ADAPTER_MISMATCH, DOES_NOT_FIT, ENGINE where the model gives numbers that are not finite, CANCELLED.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_evaluation_new(
    const nest_model *NEST_NONNULL model,
    const nest_dataset *NEST_NONNULL data,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_evaluation *NEST_NULLABLE *NEST_NONNULL evaluation);

/**
 * As nest_evaluation_new, on a worker thread: step the job, then take the evaluation with nest_job_take_evaluation.
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, BUSY; all others are the job's.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_evaluation_new_job(
    const nest_model *NEST_NONNULL model,
    const nest_dataset *NEST_NONNULL data,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/**
 * What nest_evaluation_new_job measured; waits for the end when it has not been reached.
 *
 * Gives `evaluation`. Exclusive: `job`. Errors: NULL_POINTER, BUSY, WRONG_STATE when it was taken before or for a job of
 * another kind, and those of nest_evaluation_new.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_job_take_evaluation(
    nest_job *NEST_NONNULL job,
    nest_evaluation *NEST_NULLABLE *NEST_NONNULL evaluation);

/**
 * The evaluation in numbers.
 *
 * Fills `report`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_evaluation_get_report(
    const nest_evaluation *NEST_NONNULL evaluation,
    nest_evaluation_report *NEST_NONNULL report);

/**
 * The whole evaluation as a JSON object: the numbers, what became of the examples, and for labelled examples the
 * precision, recall and F1 of each class and the confusion matrix, whose rows are the right labels.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_evaluation_report_json(
    const nest_evaluation *NEST_NONNULL evaluation,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/**
 * Two evaluations of the same examples side by side, as a JSON object of `base`, `adapter` and `difference`.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT if they are not of the same examples and labels.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_evaluation_comparison_json(
    const nest_evaluation *NEST_NONNULL base,
    const nest_evaluation *NEST_NONNULL adapter,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/** Frees an evaluation. NULL is fine. */
NEST_API void nest_evaluation_free(nest_evaluation *NEST_NULLABLE evaluation);

/* ---- Embeddings: texts as vectors. ---- */

/** The vectors of several texts. */
typedef struct nest_embeddings nest_embeddings;

/**
 * The vectors of `n_texts` texts, each ending with NUL, in their order: one for each text, or with `pooling=none` one for
 * each of its tokens. `options` of the kind "embedding".
 *
 * Gives `embeddings`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, INVALID_OPTION, BUSY for options
 * that are being changed, EMBEDDING_TOO_LONG names a text that is longer than the model reads at once, EMBEDDING_POOLING
 * if the file does not say how to pool, EMBEDDING_DIMENSIONS, EMPTY_PROMPT names a text without tokens, NO_TOKENIZER,
 * WRONG_STATE for a model opened with `vocab_only`, DOES_NOT_FIT, ENGINE where the model gives numbers that are not
 * finite, CANCELLED.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_model_embed(
    const nest_model *NEST_NONNULL model,
    const char *NEST_NONNULL const *NEST_NONNULL texts,
    uint64_t n_texts,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_embeddings *NEST_NULLABLE *NEST_NONNULL embeddings);

/** The number of texts; 0 for NULL. Any thread. */
NEST_API uint64_t nest_embeddings_count(const nest_embeddings *NEST_NONNULL embeddings);

/** How many numbers a vector has; 0 for NULL. Any thread. */
NEST_API uint64_t nest_embeddings_dimensions(const nest_embeddings *NEST_NONNULL embeddings);

/**
 * How many vectors the text at `index` has: 1, or with `pooling=none` as many as tokens; 0 for NULL, and for a text that
 * there is not. Any thread.
 */
NEST_API uint64_t nest_embeddings_vectors(
    const nest_embeddings *NEST_NONNULL embeddings,
    uint64_t index);

/**
 * The vectors of the text at `index`, one after the other, lent by the embeddings; NULL for NULL, and for a text that
 * there is not. Any thread.
 */
NEST_API const float *NEST_NULLABLE nest_embeddings_data(
    const nest_embeddings *NEST_NONNULL embeddings,
    uint64_t index);

/** Frees embeddings. NULL is fine. */
NEST_API void nest_embeddings_free(nest_embeddings *NEST_NULLABLE embeddings);

/* ---- Converting: a Hugging Face checkpoint to a model file. ---- */

/**
 * Makes a checkpoint of Hugging Face, a directory with config.json, model.safetensors (or shards with their index) and a
 * tokenizer, one model file at `path`, on a worker thread: step the job, then take its report with nest_job_take_report.
 * `options` of the kind "convert": with its ftype the model is quantized in the same pass. Whatever happens, `path` holds
 * what it did, or the whole new file.
 *
 * The report has the keys "path", "architecture", "name", "ftype", "dry_run", "ignored" (tensors that a model file does not
 * need), "n_tensors", "n_parameters", "bytes_before", "bytes" and "types" (how many tensors of each type).
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY for options that are being changed; the
 * job's: CHECKPOINT_... and SAFETENSORS for a checkpoint that is damaged, incomplete or of an unknown architecture,
 * QUANTIZE_TYPE, TENSOR_VALUE, OUTPUT_EXISTS, OUTPUT_IS_INPUT, SOURCE_CHANGED, CANCELLED, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_convert_job(
    const char *NEST_NONNULL directory,
    const char *NEST_NONNULL path,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/* ---- Quantizing: a model in smaller types. ---- */

/**
 * Writes a model in another mix of types to `path`, on a worker thread: step the job, then take its report with
 * nest_job_take_report. `options` of the kind "quantize". `source` may be the first part of a split model; the output is one
 * file. Whatever happens, `path` holds what it did, or the whole new file.
 *
 * The report has the keys "path", "ftype", "dry_run", "n_tensors", "n_parameters", "bytes_before", "bytes" and "types" (how
 * many tensors of each type).
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY for options that are being changed; the
 * job's: QUANTIZE_TYPE for an unknown type or one that the model does not allow, TENSOR_VALUE, OUTPUT_EXISTS, OUTPUT_IS_INPUT,
 * SOURCE_CHANGED, CANCELLED, GGUF_... for a bad model, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_quantize_job(
    const nest_source *NEST_NONNULL source,
    const char *NEST_NONNULL path,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/* ---- Importance matrices: which columns of a model's weights matter on a text. ---- */

/**
 * Has a model read a text file, and writes which columns of its weights mattered, in llama.cpp's format: quantizing can
 * then keep these columns more exact. `options` of the kind "imatrix". The report of nest_job_take_report has `path`,
 * `weights`, `chunks`, `tokens`, `unseen_experts` and `seconds`.
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT for options of another kind, BUSY; all
 * others are the job's: OUTPUT_EXISTS, OUTPUT_IS_INPUT, TEXT_TOO_SHORT, UNSUPPORTED, DOES_NOT_FIT, ENGINE where the model
 * computes numbers that are not finite, CANCELLED, those of files. Then nothing was written.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_imatrix_job(
    const nest_model *NEST_NONNULL model,
    const char *NEST_NONNULL text_path,
    const char *NEST_NONNULL output_path,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/* ---- Models side by side on a text. ---- */

/**
 * Measures `n_models` models with the same vocabulary on a text, such as quantizations of one model; the first is the
 * reference. `length` may be -1. `options` of the kind "compare". The report of nest_job_take_report has `models`, a list
 * in their order of `path`, `name`, `type`, `file_bytes`, `bits_per_weight`, `tokens`, `loss`, `perplexity`, `kl` (the
 * divergence from the reference: `mean`, `error`, `median`, `p90`, `p99`, `max`) and `same_top`; and `n_ctx`, `windows`,
 * `seconds`.
 *
 * Gives `job`, which keeps the models alive. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY; all
 * others are the job's: INVALID_ARGUMENT for other vocabularies, TEXT_TOO_SHORT, UNSUPPORTED, DOES_NOT_FIT, ENGINE where a
 * model gives numbers that are not finite, CANCELLED.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_compare_job(
    const nest_model *NEST_NONNULL const *NEST_NONNULL models,
    uint64_t n_models,
    const char *NEST_NONNULL text,
    int64_t length,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/* ---- Leaving out of a model file what a task does not need. ---- */

/**
 * Writes a model file without the tensors and metadata that the options, of the kind "prune", name. The new file is opened
 * before it takes its name. The report of nest_job_take_report has `path`, `tensors` and `metadata`, the lists of what was
 * left out, `bytes_before` and `bytes`.
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT for options of another kind, BUSY; all
 * others are the job's: INVALID_OPTION for a malformed pattern, INVALID_ARGUMENT for one that nothing matches,
 * TENSOR_NEEDED, OUTPUT_EXISTS, OUTPUT_IS_INPUT, SOURCE_CHANGED, CANCELLED, those of reading a model and of files. Then
 * nothing was written.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_prune_job(
    const nest_source *NEST_NONNULL source,
    const char *NEST_NONNULL output_path,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/* ---- Files of adapters: converted from PEFT and to it, several made one, and merged into a model. ---- */

/**
 * What an adapter, a GGUF file or a PEFT directory, is: a JSON object with `format`, `name`, `architecture`,
 * `base_model`, `rank`, `scale`, `alpha`, `rs_lora`, `n_pairs`, `n_parameters`, `bytes`, `layers`, `types`, `norm`, and
 * `targets` with `target`, `n_layers`, `n_in`, `n_out`, `rank`, `norm`.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, PEFT_..., ADAPTER_..., GGUF_..., SAFETENSORS and
 * TENSOR_VALUE for a bad adapter, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_adapter_inspect(
    const char *NEST_NONNULL path,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/**
 * Converts an adapter on a worker thread: a PEFT directory to a GGUF file, or a GGUF file to a PEFT directory. Options of
 * the kind "adapter": `base` names the base model, whose heads and layers the files depend on. Tensors are carried bit
 * for bit, but for the order of rows.
 *
 * Step the job, then take its report with nest_job_take_report: `format`, `architecture`, `n_pairs`, `n_parameters`,
 * `rank`, `n_folded`. On an error or a cancel the output is as it was.
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY. The job's: PEFT_..., ADAPTER_...,
 * GGUF_..., SAFETENSORS, TENSOR_VALUE, OUTPUT_EXISTS, OUTPUT_IS_INPUT, CANCELLED, and those of files.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_adapter_convert_job(
    const char *NEST_NONNULL input,
    const char *NEST_NONNULL output,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/**
 * Makes one adapter of `length` on a worker thread: their weighted sum. `inputs` are GGUF files or PEFT directories,
 * `weights` has a number for each. Options of the kind "adapter": `method` says how, `normalize` whether the weights
 * are divided by their sum.
 *
 * Step the job, then take its report with nest_job_take_report: that of nest_adapter_convert_job. On an error or a
 * cancel the output is as it was.
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY. The job's: ADAPTER_AVERAGE for
 * adapters or weights that do not go together, and those of nest_adapter_convert_job.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_adapter_average_job(
    const char *NEST_NONNULL const *NEST_NONNULL inputs,
    const float *NEST_NONNULL weights,
    uint64_t length,
    const char *NEST_NONNULL output,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/**
 * Writes a model with `length` adapters merged into it, on a worker thread. `adapters` are GGUF files or PEFT
 * directories, `scales` has a number for each, usually 1. Options of the kind "merge": `ftype` is the mix of types that
 * is written. Tensors that no adapter changes are copied as they are, where their type stays.
 *
 * Step the job, then take its report with nest_job_take_report: `n_merged` and what that of nest_quantize_job has. On an error or a cancel the output is as it was.
 *
 * Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY. The job's: ADAPTER_MISMATCH for an
 * adapter of another model, QUANTIZE_TYPE, and those of nest_adapter_convert_job.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_merge_job(
    const nest_source *NEST_NONNULL base,
    const char *NEST_NONNULL const *NEST_NONNULL adapters,
    const float *NEST_NONNULL scales,
    uint64_t length,
    const char *NEST_NONNULL output,
    const nest_options *NEST_NULLABLE options,
    const nest_cancel *NEST_NULLABLE cancel,
    nest_job *NEST_NULLABLE *NEST_NONNULL job);

/* ---- What there is to compute on. ---- */

/** The processor. */
#define NEST_DEVICE_CPU 0

/** A graphics processor with memory of its own. */
#define NEST_DEVICE_GPU 1

/** A graphics processor that shares the host's memory. */
#define NEST_DEVICE_INTEGRATED_GPU 2

/** Another accelerator that works beside the CPU. */
#define NEST_DEVICE_ACCELERATOR 3

/** The devices at one moment. */
typedef struct nest_devices nest_devices;

/** One device. Sizes in bytes. */
typedef struct nest_device_info {
  /** sizeof(nest_device_info), set by the caller. */
  uint32_t struct_size;
  /** One of NEST_DEVICE_.... */
  int32_t kind;
  /** Free memory, as the driver reports it. */
  uint64_t memory_free;
  /** Total memory. */
  uint64_t memory_total;
  /** What to give as the option `device`; lent by the list. */
  const char *NEST_NONNULL name;
  /** What it is, in words; lent by the list. */
  const char *NEST_NONNULL description;
} nest_device_info;

/**
 * The devices that this build can use now; the CPU is always among them.
 *
 * Gives `devices`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_devices_new(
    nest_devices *NEST_NULLABLE *NEST_NONNULL devices);

/** The number of devices; 0 for NULL. Any thread. */
NEST_API uint64_t nest_devices_count(const nest_devices *NEST_NONNULL devices);

/**
 * One device; the first is number 0.
 *
 * Fills `info`, with texts lent by the list. Any thread. Errors: NULL_POINTER, STRUCT_SIZE, INVALID_ARGUMENT.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_devices_get(
    const nest_devices *NEST_NONNULL devices,
    uint64_t index,
    nest_device_info *NEST_NONNULL info);

/**
 * The list as JSON.
 *
 * Gives `json`. Any thread. Errors: NULL_POINTER.
 */
NEST_API NEST_NODISCARD nest_error *NEST_NULLABLE nest_devices_json(
    const nest_devices *NEST_NONNULL devices,
    nest_string *NEST_NULLABLE *NEST_NONNULL json);

/** Frees a list. NULL is fine. */
NEST_API void nest_devices_free(nest_devices *NEST_NULLABLE devices);

#ifdef __cplusplus
}
#endif

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

#endif
