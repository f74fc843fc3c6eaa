#include "base/tensor_type.hpp"

#include "base/weight_blocks.hpp"

namespace troupe {

TensorTypeInfo tensor_type_info(TensorType type) noexcept {
  switch (type) {
    case TensorType::f32: return {"F32", 1, 4};
    case TensorType::f16: return {"F16", 1, 2};
    case TensorType::bf16: return {"BF16", 1, 2};
    case TensorType::f64: return {"F64", 1, 8};
    case TensorType::i8: return {"I8", 1, 1};
    case TensorType::i16: return {"I16", 1, 2};
    case TensorType::i32: return {"I32", 1, 4};
    case TensorType::i64: return {"I64", 1, 8};
    case TensorType::q4_0: return {"Q4_0", 32, sizeof(blocks::Q4_0)};
    case TensorType::q4_1: return {"Q4_1", 32, sizeof(blocks::Q4_1)};
    case TensorType::q5_0: return {"Q5_0", 32, sizeof(blocks::Q5_0)};
    case TensorType::q5_1: return {"Q5_1", 32, sizeof(blocks::Q5_1)};
    case TensorType::q8_0: return {"Q8_0", 32, sizeof(blocks::Q8_0)};
    case TensorType::q8_1: return {"Q8_1", 32, 36};
    case TensorType::q2_k: return {"Q2_K", 256, sizeof(blocks::Q2K)};
    case TensorType::q3_k: return {"Q3_K", 256, sizeof(blocks::Q3K)};
    case TensorType::q4_k: return {"Q4_K", 256, sizeof(blocks::Q4K)};
    case TensorType::q5_k: return {"Q5_K", 256, sizeof(blocks::Q5K)};
    case TensorType::q6_k: return {"Q6_K", 256, sizeof(blocks::Q6K)};
    case TensorType::q8_k: return {"Q8_K", 256, 292};
    case TensorType::iq2_xxs: return {"IQ2_XXS", 256, 66};
    case TensorType::iq2_xs: return {"IQ2_XS", 256, 74};
    case TensorType::iq3_xxs: return {"IQ3_XXS", 256, 98};
    case TensorType::iq1_s: return {"IQ1_S", 256, 50};
    case TensorType::iq4_nl: return {"IQ4_NL", 32, sizeof(blocks::Iq4Nl)};
    case TensorType::iq3_s: return {"IQ3_S", 256, 110};
    case TensorType::iq2_s: return {"IQ2_S", 256, 82};
    case TensorType::iq4_xs: return {"IQ4_XS", 256, sizeof(blocks::Iq4Xs)};
    case TensorType::iq1_m: return {"IQ1_M", 256, 56};
    case TensorType::tq1_0: return {"TQ1_0", 256, 54};
    case TensorType::tq2_0: return {"TQ2_0", 256, 66};
    case TensorType::mxfp4: return {"MXFP4", 32, 17};
  }
  return {"unknown", 0, 0};
}

}  // namespace troupe
