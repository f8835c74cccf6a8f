/* The version, of the headers and of the library.
 *
 * How the interface grows. Numbers of enums and the fields of structs stay what they are. Structs that begin
 * with struct_size get new fields at the end, whose zero is what the library did before; a program that was
 * built with older headers goes on working with a newer libmqa.so of the same soname, and one built with
 * newer headers works with an older library as long as it leaves zero what that doesn't know (else
 * MQA_ERR_UNSUPPORTED).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_VERSION_H
#define MQA_VERSION_H

#include "mqa/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of these headers. */
#define MQA_VERSION_MAJOR 0
#define MQA_VERSION_MINOR 1
#define MQA_VERSION_PATCH 0

/* Of the library that runs: "0.1.0". */
MQA_API const char *mqa_version(void);

#ifdef __cplusplus
}
#endif

#endif
