package dev.polyphon.measure.random;

import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.weights.DType;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** The families of adapters, each in the size that is usual for it; with a rank, of {@code rank}. On all linear layers unless said otherwise. */
public enum AdapterFamily {
    LORA("{'peft_type': 'LORA', 'r': RANK, 'lora_alpha': ALPHA}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(ALL, (path, out, in) -> lora(draft, path, out, in, rank));
        }
    },
    DORA("{'peft_type': 'LORA', 'r': RANK, 'lora_alpha': ALPHA, 'use_dora': true}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(ALL, (path, out, in) -> {
                lora(draft, path, out, in, rank);
                draft.constant(path + ".lora_magnitude_vector", 1, out);
            });
        }
    },
    /** With whole matrices of its own beside a LoRA. */
    SAVED_MODULES("{'peft_type': 'LORA', 'r': RANK, 'lora_alpha': ALPHA, 'modules_to_save': ['o_proj']}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(List.of(Module.O), (path, out, in) -> draft.random(path + ".weight", SMALL, out, in));
            draft.modules(QV, (path, out, in) -> lora(draft, path, out, in, rank));
        }
    },
    ADALORA("{'peft_type': 'ADALORA', 'r': RANK, 'init_r': RANK, 'target_r': RANK, 'lora_alpha': ALPHA}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(ALL, (path, out, in) -> {
                draft.random(path + ".lora_A", SMALL, rank, in);
                draft.random(path + ".lora_B", SMALL, out, rank);
                draft.constant(path + ".lora_E", 1, rank, 1);
            });
        }
    },
    VERA("{'peft_type': 'VERA', 'r': 256, 'save_projection': true}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            int widest = Math.max(draft.spec().hidden(), draft.spec().intermediate());
            draft.random("base_model.vera_A", 1, 256, widest);
            draft.random("base_model.vera_B", 1, widest, 256);
            draft.modules(ALL, (path, out, in) -> {
                draft.constant(path + ".vera_lambda_d", 0.1f, 256);
                draft.constant(path + ".vera_lambda_b", 0.01f, out);
            });
        }
    },
    LOHA("{'peft_type': 'LOHA', 'r': 8, 'alpha': 8}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(ALL, (path, out, in) -> {
                for (String half : List.of(".hada_w1", ".hada_w2")) {
                    draft.random(path + half + "_a", SMALL, out, 8);
                    draft.random(path + half + "_b", SMALL, 8, in);
                }
            });
        }
    },
    LOKR("{'peft_type': 'LOKR', 'r': 16, 'alpha': 16, 'decompose_factor': 8}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(ALL, (path, out, in) -> {
                draft.random(path + ".lokr_w1", SMALL, 8, 8);
                draft.random(path + ".lokr_w2_a", SMALL, out / 8, 16);
                draft.random(path + ".lokr_w2_b", SMALL, 16, in / 8);
            });
        }
    },
    IA3("{'peft_type': 'IA3', 'feedforward_modules': ['down_proj']}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(List.of(Module.K, Module.V, Module.DOWN), (path, out, in) -> {
                boolean input = path.endsWith("down_proj");
                draft.constant(path + ".ia3_l", 1.01f, input ? 1 : out, input ? in : 1);
            });
        }
    },
    OFT("{'peft_type': 'OFT', 'oft_block_size': 32, 'use_cayley_neumann': true, 'num_cayley_neumann_terms': 5}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(ALL, (path, _, in) -> draft.random(path + ".oft_R.weight", SMALL, in / 32, 32 * 31 / 2));
        }
    },
    BOFT("{'peft_type': 'BOFT', 'boft_block_size': 8, 'boft_n_butterfly_factor': 1}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(QV, (path, out, in) -> {
                draft.random(path + ".boft_R", SMALL, 1, in / 8, 8, 8);
                draft.constant(path + ".boft_s", 1, out, 1);
            });
        }
    },
    HRA("{'peft_type': 'HRA', 'r': 8}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(QV, (path, _, in) -> draft.random(path + ".hra_u", 1, in, 8));
        }
    },
    ROAD("{'peft_type': 'ROAD', 'variant': 'road_1', 'group_size': 64}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(ALL, (path, out, _) -> {
                draft.random(path + ".road_theta", SMALL, out / 2);
                draft.constant(path + ".road_alpha", 1, out / 2);
            });
        }
    },
    FOURIERFT("{'peft_type': 'FOURIERFT', 'n_frequency': 1000, 'random_loc_seed': 777, 'scaling': 1.0}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(QV, (path, _, _) -> draft.random(path + ".fourierft_spectrum", SMALL, 1000));
        }
    },
    C3A("{'peft_type': 'C3A', 'block_size': 32}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(QV, (path, out, in) -> draft.random(path + ".c3a_kernel", SMALL, out / 32, in / 32, 32));
        }
    },
    SHIRA("{'peft_type': 'SHIRA', 'r': RANK, 'mask_type': 'random'}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(QV, (path, out, in) -> {
                int count = rank * (out + in);
                int[] indices = new int[2 * count];
                for (int i = 0; i < count; i++) {
                    // Different places, all over the matrix.
                    long place = (long) i * out * in / count;
                    indices[i] = (int) (place / in);
                    indices[count + i] = (int) (place % in);
                }
                draft.random(path + ".shira_weight", SMALL, count);
                draft.integers(path + ".shira_indices", indices, 2, count);
            });
        }
    },
    MISS("{'peft_type': 'MISS', 'r': RANK, 'mini_r': 1}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(QV, (path, out, _) -> draft.random(path + ".miss_block", SMALL, rank, out));
        }
    },
    LN_TUNING("{'peft_type': 'LN_TUNING'}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(List.of(Module.ATTENTION_NORM, Module.MLP_NORM),
                    (path, _, _) -> draft.constant(path + ".ln_tuning_layers.weight", 1, draft.spec().hidden()));
        }
    },
    POLY("{'peft_type': 'POLY', 'r': 8, 'n_skills': 4, 'n_splits': 1, 'n_tasks': 2, 'poly_type': 'poly'}", "0") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(ALL, (path, out, in) -> {
                draft.random(path + ".poly_lora_A", SMALL, 1, 4, in, 8);
                draft.random(path + ".poly_lora_B", SMALL, 1, 4, 8, out);
                draft.random(path + ".poly_router.module_logits", 1, 2, 4);
            });
        }
    },
    PROMPT_TUNING("{'peft_type': 'PROMPT_TUNING', 'num_virtual_tokens': 20, 'num_transformer_submodules': 1}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.random("prompt_embeddings", 1, 20, draft.spec().hidden());
        }
    },
    PREFIX_TUNING("{'peft_type': 'PREFIX_TUNING', 'num_virtual_tokens': 20, 'num_transformer_submodules': 1}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.random("prompt_embeddings", 1, 20, 2L * draft.spec().layers().size() * draft.spec().kvWidth());
        }
    },
    SERIES_BOTTLENECK("{'peft_type': 'BOTTLENECK', 'bottleneck_size': 64, 'non_linearity': 'tanh', 'scaling': 1.0}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            bottleneck(draft, false);
        }
    },
    PARALLEL_BOTTLENECK("{'peft_type': 'BOTTLENECK', 'bottleneck_size': 64, 'non_linearity': 'tanh', 'scaling': 1.0, 'use_parallel_adapter': true}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            bottleneck(draft, true);
        }
    },
    HYDRA("{'peft_type': 'HYDRA', 'parallel_rank': 8, 'sequential_rank': 8, 'scale': 1.0}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(List.of(Module.DOWN), (path, out, in) -> {
                layer(draft, path + ".adapter_par.down_proj", 8, in);
                layer(draft, path + ".adapter_par.up_proj", out, 8);
                layer(draft, path + ".adapter_seq.down_proj", 8, out);
                layer(draft, path + ".adapter_seq.up_proj", out, 8);
            });
        }
    },
    ADAPTERBIAS("{'peft_type': 'ADAPTERBIAS'}") {
        @Override
        void fill(AdapterDraft draft, int rank) {
            draft.modules(List.of(Module.DOWN), (path, out, in) -> {
                draft.random(path + ".adapter_vector", SMALL, out);
                layer(draft, path + ".adapter_alpha", 1, in);
            });
        }
    };

    private static final double SMALL = 0.05;
    private static final List<Module> ALL = List.of(Module.Q, Module.K, Module.V, Module.O, Module.GATE, Module.UP, Module.DOWN);
    private static final List<Module> QV = List.of(Module.Q, Module.V);

    private final String config;
    private final String task;

    AdapterFamily(String config) {
        this(config, null);
    }

    AdapterFamily(String config, String task) {
        this.config = config;
        this.task = task;
    }

    abstract void fill(AdapterDraft draft, int rank);

    /** Which of its tasks a request has to name, or null. */
    public String task() {
        return task;
    }

    /** Whether its size depends on the rank that is asked for. */
    public boolean ranked() {
        return config.contains("RANK");
    }

    /** As options and tables have it. */
    public String title() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** Writes a random adapter of this family. */
    public void write(Path folder, Checkpoint base, int rank, DType type, long seed) throws IOException {
        String json = config.replace('\'', '"').replace("RANK", Integer.toString(rank)).replace("ALPHA", Integer.toString(2 * rank));
        try (AdapterDraft draft = new AdapterDraft(base, json, type, seed)) {
            fill(draft, rank);
            draft.save(folder);
        }
    }

    private static void lora(AdapterDraft draft, String path, int out, int in, int rank) {
        draft.random(path + ".lora_A.weight", SMALL, rank, in);
        draft.random(path + ".lora_B.weight", SMALL, out, rank);
    }

    private static void layer(AdapterDraft draft, String path, int out, int in) {
        draft.random(path + ".weight", SMALL, out, in);
        draft.constant(path + ".bias", 0, out);
    }

    private static void bottleneck(AdapterDraft draft, boolean parallel) {
        draft.modules(List.of(Module.DOWN), (path, out, in) -> {
            draft.random(path + ".adapter_down.weight", SMALL, 64, parallel ? in : out);
            draft.random(path + ".adapter_up.weight", SMALL, out, 64);
        });
    }
}
