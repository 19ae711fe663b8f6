/** What the masked autoencoder saw and what it made of it. */
import type { Reconstructions } from "../../run/samples.ts";
import { type Html, html } from "../html.ts";
import { picture } from "../picture.ts";

export function reconstructions(dir: string, { stage, items, note }: Reconstructions): Html | undefined {
  if (items.length === 0) return undefined;
  return html`<section id="reconstructions">
    <h2>Reconstructions</h2>
    <p class="lead">
      Left the image, in the middle the patches that stage ${stage} was shown, right what it imagined for the
      rest.${note !== undefined && ` ${note}`}
    </p>
    <div class="triples">
      ${items.map(
        ({ id, input, masked, reconstructed }) =>
          html`<figure class="triple">
            ${picture(dir, input, `${id}: image`)} ${picture(dir, masked, `${id}: visible patches`)}
            ${picture(dir, reconstructed, `${id}: reconstruction`)}
            <figcaption title="${id}">${id}</figcaption>
          </figure>`,
      )}
    </div>
  </section>`;
}
