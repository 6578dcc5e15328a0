
#ifndef NESTLING_H
#define NESTLING_H

#include <stdint.h>

/* The version of this header. */
#define NEST_VERSION "@VERSION@"
#define NEST_VERSION_MAJOR @MAJOR@
#define NEST_VERSION_MINOR @MINOR@
#define NEST_VERSION_PATCH @PATCH@

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

