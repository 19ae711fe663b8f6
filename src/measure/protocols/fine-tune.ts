/** End-to-end fine-tuning on the first question: the whole encoder learns, from all labels or some; it takes minutes. */
import { fineTune as tune } from "../finetune.ts";
import { fineTuneSettings } from "../finetune-settings.ts";
import { describeChoice, labelChoice, labelledRows } from "../labels.ts";
import { accuracy, classTask, type Protocol } from "../protocol.ts";

const settings = fineTuneSettings.extend({ labels: labelChoice.optional() });

export const fineTune: Protocol<"fine-tune", typeof settings> = {
  name: "fine-tune",
  usual: false,
  metric: accuracy,
  settings,
  tasks({ source, questions }, { labels, ...settings }, options) {
    const { seed, device, threads } = options;
    const few = labels === undefined ? "" : `, ${describeChoice(labels)}`;
    const title = `fine-tuning (${settings.preset ?? "full"}${few})`;
    return questions.slice(0, 1).map((question) => ({
      ...classTask(title, question, { labels, ...settings }, options),
      needs: "encoder",
      async run({ encoder }, { onProgress } = {}) {
        const { classes, labels: all, rows } = question;
        const train = labels === undefined ? rows.train : await labelledRows(labels, question, source, seed);
        return tune(
          encoder!,
          { source, classes, labels: all, rows: { ...rows, train } },
          { ...settings, seed, device, threads, onProgress },
        );
      },
    }));
  },
};
