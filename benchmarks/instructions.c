// A plugin for QEMU 7.2 (API 1): the instructions that an AArch64 program executes between two
// marks, all of them and those of the kinds below, as JSON. A mark is the system call getpgid(MARK).
// The prototypes are those of qemu-plugin.h, which Debian does not ship. Counters are not atomic:
// for programs of one thread.
//
//     cc -shared -fPIC -O2 -o instructions.so instructions.c
//     qemu-aarch64 -plugin instructions.so,out=counts.json PROGRAM
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t id_t_;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*syscall_cb)(id_t_, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                           uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(id_t_, void (*)(id_t_, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_syscall_cb(id_t_, syscall_cb);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_atexit_cb(id_t_, void (*)(id_t_, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { GETPGID = 155, MARK = 1 << 28, ADD = 0 };

// From the Arm Architecture Reference Manual. "by element" has one factor for all lanes.
static const struct {
  const char *name;
  uint32_t mask, value;
} kinds[] = {
    {"float32 multiply-add", 0xBFA0FC00, 0x0E20CC00},  // FMLA vector, single
    {"float32 multiply-add", 0xBFC0F400, 0x0F801000},  // FMLA by element, single
    {"float16 multiply-add", 0xBFE0FC00, 0x0E400C00},  // FMLA vector, half
    {"float16 multiply-add", 0xBFC0F400, 0x0F001000},  // FMLA by element, half
    {"int8 dot product", 0xBFE0FC00, 0x0E809400},      // SDOT vector
    {"int8 dot product", 0xBFC0F400, 0x0F80E000},      // SDOT by element
    {"int8 dot product", 0x9FE0FC00, 0x0E809C00},      // USDOT vector
    {"int8 matrix multiply", 0xFFE0FC00, 0x4E80A400},  // SMMLA
    {"int8 matrix multiply", 0xFFE0FC00, 0x4E80AC00},  // USMMLA
    {"integer multiply-add", 0xBF20FC00, 0x0E208000},  // SMLAL, SMLAL2 vector
    {"integer multiply-add", 0xBF00F400, 0x0F002000},  // SMLAL, SMLAL2 by element
    {"integer multiply-add", 0xBF20FC00, 0x0E20C000},  // SMULL, SMULL2 vector
    {"integer multiply-add", 0xBF00F400, 0x0F00A000},  // SMULL, SMULL2 by element
    {"float32 arithmetic", 0xBFA0FC00, 0x0E20D400},   // FADD, FSUB vector, single
    {"float32 arithmetic", 0xBFE0FC00, 0x2E20DC00},   // FMUL
    {"float16 arithmetic", 0xBFE0FC00, 0x0E401400},   // FADD vector, half
    {"float16 arithmetic", 0xBFE0FC00, 0x0EC01400},   // FSUB
    {"float16 arithmetic", 0xBFE0FC00, 0x2E401C00},   // FMUL
    {"float conversion", 0xFFBFFC00, 0x0E217800},      // FCVTL half to single
    {"float conversion", 0xFFBFFC00, 0x4E217800},      // FCVTL2
    {"float conversion", 0xFFBFFC00, 0x0E216800},      // FCVTN single to half
    {"float conversion", 0xFFBFFC00, 0x4E216800},      // FCVTN2
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static uint64_t total, by_kind[KINDS], total_before, before[KINDS];
static bool marked, counted;
static char *out;

static void translated(id_t_ id, struct qemu_plugin_tb *block) {
  size_t n = qemu_plugin_tb_n_insns(block);
  qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &total, n);
  for (size_t i = 0; i < n; i++) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
    for (int k = 0; k < KINDS; k++)
      if ((word & kinds[k].mask) == kinds[k].value)
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD, &by_kind[k], 1);
  }
}

static void called(id_t_ id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
  if (number != GETPGID || a != MARK || counted) return;
  counted = marked;  // the second mark ends the count
  marked = true;
  total_before = total - total_before;
  for (int k = 0; k < KINDS; k++) before[k] = by_kind[k] - before[k];
}

static void ended(id_t_ id, void *data) {
  FILE *file = counted ? fopen(out, "w") : NULL;
  if (!file) return;
  fprintf(file, "{\"all\": %" PRIu64, total_before);
  for (int k = 0; k < KINDS; k++) {
    if (k && !strcmp(kinds[k].name, kinds[k - 1].name)) continue;
    uint64_t sum = 0;
    for (int j = k; j < KINDS && !strcmp(kinds[j].name, kinds[k].name); j++) sum += before[j];
    fprintf(file, ", \"%s\": %" PRIu64, kinds[k].name, sum);
  }
  fprintf(file, "}\n");
  fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(id_t_ id, const void *info, int argc,
                                                               char **argv) {
  for (int i = 0; i < argc; i++)
    if (!strncmp(argv[i], "out=", 4)) out = strdup(argv[i] + 4);
  if (!out) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_vcpu_syscall_cb(id, called);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
