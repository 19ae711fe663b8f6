/** Views of an image, as a recipe names them, and what mixes the images of a batch. */
export { mix, type MixOptions } from "./mix.ts";
export {
  centerCrop,
  type CenterView,
  fineTuneView,
  maeView,
  mocoViews,
  noise,
  type ViewInput,
  type ViewSpec,
} from "./views.ts";
