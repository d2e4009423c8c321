/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_DOCTOR_OUTPUT_H
#define CLI_DOCTOR_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "doctor.h"

/* Findings of at least that severity, in 80 columns. */
void doctor_output_text(FILE *out, bool color, const struct doctor_report *report,
			enum doctor_severity least);
void doctor_output_json(FILE *out, const struct doctor_report *report, enum doctor_severity least);
/* A fragment for sysctl.d with what would heal them; what no key heals is not in it. */
void doctor_output_sysctl(FILE *out, const struct doctor_report *report,
			  enum doctor_severity least);

#endif
