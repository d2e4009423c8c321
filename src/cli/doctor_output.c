/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How findings look: to people, as JSON, and as a file for sysctl.d that nobody wrote yet. */
#include "doctor_output.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "json.h"
#include "output.h"

#define WIDTH 80
#define LABEL_WIDTH 11
#define WHY "doctor.md#"

/* Characters, not bytes. */
static size_t width_of(const char *text, size_t len)
{
	size_t width = 0;
	for (size_t i = 0; i < len; i++)
		width += ((unsigned char)text[i] & 0xc0) != 0x80;
	return width;
}

/* Words after what already stands in the line, each further line beginning with the same. */
static void put_words(FILE *out, const char *begin, const char *text)
{
	struct tg_strbuf safe;
	const size_t indent = width_of(begin, strlen(begin));
	size_t column = indent;
	tg_strbuf_init(&safe);
	tg_text_escape(&safe, text);
	for (const char *at = safe.text; *at;) {
		const size_t len = strcspn(at, " "), width = width_of(at, len);
		if (column > indent && column + 1 + width > WIDTH) {
			(void)fprintf(out, "\n%s", begin);
			column = indent;
		} else if (column > indent) {
			(void)fputc(' ', out);
			column++;
		}
		(void)fwrite(at, 1, len, out);
		column += width;
		at += len;
		at += strspn(at, " ");
	}
	(void)fputc('\n', out);
	tg_strbuf_finish(&safe);
}

static void put_labelled(FILE *out, bool color, const char *label, const char *text)
{
	char indent[LABEL_WIDTH + 1];
	(void)snprintf(indent, sizeof(indent), "%*s", LABEL_WIDTH, "");
	(void)fprintf(out, "  %s%-*s%s", output_color(color, OUTPUT_DIM), LABEL_WIDTH - 2, label,
		      output_color(color, OUTPUT_PLAIN));
	put_words(out, indent, text);
}

static enum output_color severity_color(enum doctor_severity severity)
{
	switch (severity) {
	case DOCTOR_CRITICAL:
		return OUTPUT_RED;
	case DOCTOR_WARNING:
		return OUTPUT_YELLOW;
	case DOCTOR_ADVICE:
	case DOCTOR_SEVERITY_COUNT:
		break;
	}
	return OUTPUT_BOLD;
}

static void put_finding(FILE *out, bool color, const struct doctor_finding *finding)
{
	char why[80];
	(void)snprintf(why, sizeof(why), WHY "%s", finding->id);
	(void)fprintf(out, "%s%-9s%s  %s\n", output_color(color, severity_color(finding->severity)),
		      doctor_severity_name(finding->severity), output_color(color, OUTPUT_PLAIN),
		      finding->id);
	put_labelled(out, color, "found", finding->value.text);
	put_labelled(out, color, "known by", finding->evidence.text);
	put_labelled(out, color, "do", finding->advice.text);
	put_labelled(out, color, "do not", finding->avoid.text);
	put_labelled(out, color, "why", why);
	(void)fputc('\n', out);
}

static void put_summary(FILE *out, const struct doctor_report *report, enum doctor_severity least)
{
	size_t counts[DOCTOR_SEVERITY_COUNT] = {0};
	for (size_t i = 0; i < report->count; i++)
		counts[report->findings[i].severity]++;
	if (report->count == 0)
		(void)fprintf(out, "nothing found");
	for (size_t i = DOCTOR_SEVERITY_COUNT; i-- > 0 && report->count > 0;)
		(void)fprintf(out, "%s%s %zu", i + 1 < DOCTOR_SEVERITY_COUNT ? ", " : "",
			      doctor_severity_name((enum doctor_severity)i), counts[i]);
	if (report->left_off > 0)
		(void)fprintf(out, ", and %zu left off", report->left_off);
	if (least > DOCTOR_ADVICE)
		(void)fprintf(out, " (shown from %s on)", doctor_severity_name(least));
	(void)fputc('\n', out);
	for (size_t i = 0; i < report->unknown_count; i++) {
		struct tg_strbuf line;
		tg_strbuf_init(&line);
		tg_strbuf_printf(&line, "not known: %s: %s", report->unknown[i].name,
				 report->unknown[i].reason);
		put_words(out, "", line.text);
		tg_strbuf_finish(&line);
	}
}

void doctor_output_text(FILE *out, bool color, const struct doctor_report *report,
			enum doctor_severity least)
{
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].severity >= least)
			put_finding(out, color, &report->findings[i]);
	put_summary(out, report, least);
}

void doctor_output_json(FILE *out, const struct doctor_report *report, enum doctor_severity least)
{
	struct json json;
	char why[80];
	json_begin(&json, out);
	json_array(&json, "findings");
	for (size_t i = 0; i < report->count; i++) {
		const struct doctor_finding *finding = &report->findings[i];
		if (finding->severity < least)
			continue;
		(void)snprintf(why, sizeof(why), WHY "%s", finding->id);
		json_object(&json, NULL);
		json_string(&json, "id", finding->id);
		json_string(&json, "severity", doctor_severity_name(finding->severity));
		json_string(&json, "value", finding->value.text);
		json_string(&json, "evidence", finding->evidence.text);
		json_string(&json, "advice", finding->advice.text);
		json_string(&json, "avoid", finding->avoid.text);
		json_string(&json, "setting", finding->setting.len ? finding->setting.text : NULL);
		json_string(&json, "why", why);
		json_end(&json);
	}
	json_end(&json);
	json_number(&json, "left_off", report->left_off);
	json_array(&json, "unknown");
	for (size_t i = 0; i < report->unknown_count; i++) {
		json_object(&json, NULL);
		json_string(&json, "name", report->unknown[i].name);
		json_string(&json, "reason", report->unknown[i].reason);
		json_end(&json);
	}
	json_end(&json);
	json_finish(&json);
}

/* Whether an earlier finding sets the key that a line of a setting begins with. */
static bool is_set_before(const struct doctor_report *report, size_t before, const char *line,
			  enum doctor_severity least)
{
	const size_t len = strcspn(line, " ");
	for (size_t i = 0; i < before; i++) {
		const char *at = report->findings[i].setting.text;
		if (report->findings[i].severity < least)
			continue;
		for (; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
			if (strncmp(at, line, len) == 0 && at[len] == ' ')
				return true;
	}
	return false;
}

static void put_setting(FILE *out, const struct doctor_report *report, size_t index,
			enum doctor_severity least)
{
	const struct doctor_finding *finding = &report->findings[index];
	(void)fprintf(out, "\n# %s (" WHY "%s)\n# ", finding->id, finding->id);
	put_words(out, "# ", finding->value.text);
	for (const char *line = finding->setting.text; *line;) {
		const size_t len = strcspn(line, "\n");
		/* The graver finding comes first, and its value stands. */
		if (is_set_before(report, index, line, least))
			(void)fprintf(out, "# set above: %.*s\n", (int)strcspn(line, " "), line);
		else
			(void)fprintf(out, "%.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

void doctor_output_sysctl(FILE *out, const struct doctor_report *report, enum doctor_severity least)
{
	size_t others = 0;
	(void)fprintf(out,
		      "# What tcpguard doctor found on this host. Nothing is applied: read it, "
		      "put it\n# into /etc/sysctl.d/90-tcpguard-doctor.conf, and run sysctl "
		      "--system.\n");
	for (size_t i = 0; i < report->count; i++) {
		const struct doctor_finding *finding = &report->findings[i];
		if (finding->severity < least)
			continue;
		if (finding->setting.len > 0) {
			put_setting(out, report, i, least);
		} else if (strncmp(finding->id, "sysctl-", 7) == 0) {
			(void)fprintf(out, "\n# %s: see to this line\n# ", finding->id);
			put_words(out, "# ", finding->value.text);
		} else {
			others++;
		}
	}
	if (others > 0)
		(void)fprintf(out, "\n# %zu more that no key heals: tcpguard doctor\n", others);
}
