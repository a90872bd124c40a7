//! Where the outcome sets come from, and what a reader must know of each before believing a figure of it.

/// A published set of graded answers.
pub(super) struct Source {
    /// The file's name without its ending.
    pub(super) file: &'static str,
    /// As people know it.
    pub(super) title: &'static str,
    /// Repository, commit and its date.
    pub(super) from: &'static str,
    pub(super) licence: &'static str,
    /// How answers were got and graded, and what is odd about them.
    pub(super) graded: &'static str,
    /// What must stand beside its figures wherever they are shown.
    pub(super) caution: Option<&'static str>,
}

const ZEROEVAL: &str = "WildEval/ZeroEval 8c1485edf12c6efb5f69135a562927c5ad484059 (2025-04-14)";

const SOURCES: [Source; 7] = [
    Source {
        file: "outcomes_mmlupro",
        title: "MMLU-Pro",
        from: "TIGER-AI-Lab/MMLU-Pro f418b116db00b065c2aea046518d8fcf74d39872 (2026-03-18)",
        licence: "Apache-2.0",
        graded: "Exam questions with ten options, answered with chain of thought after five examples; right or wrong. An answer that the grader could not read counts as wrong: in the published run of gpt-4o-2024-05-13 there are 545 of these, so the large model is shown somewhat worse than it is. No law, health, history or philosophy.",
        caution: Some(
            "545 answers of the large model in the published run could not be read and count as wrong.",
        ),
    },
    Source {
        file: "outcomes_llmrouter",
        title: "LLMRouter",
        from: "ulab-uiuc/LLMRouter 4e7a796942ce26e9d5f2b93191c7c2585c99c2e3 (2025-12-04)",
        licence: "MIT (repository); the sets inside keep their own",
        graded: "Eleven sets (ARC, OpenBookQA, CommonsenseQA, MMLU, TriviaQA, NQ, GSM8K, MATH, MBPP, CommonGen, LogicGrid), each with its own metric from 0 to 1. Read its figures with care: much of what is graded here is form. TriviaQA and NQ compare words (F1), and even the large model has 0.18 on TriviaQA, so a short answer beats a right one in a sentence; qwen2.5-7b-instruct has 0.16 on the MMLU part, less than guessing among four options would give, and over 0.8 on ARC and OpenBookQA. A router that learns whose answers the grader can read gains by that too. Two thirds of «general» are TriviaQA and NQ.",
        caution: Some(
            "much of what is graded is the form of the answer: short answers do well, and so does a router that learns who gives them.",
        ),
    },
    Source {
        file: "outcomes_routerbench",
        title: "RouterBench",
        from: "shuhao02/RouterDC 0e63989c5bf4363330b8a4616386e3f7f116d9f8 (2025-02-25), tables of withmartian/routerbench",
        licence: "MIT (RouterBench); the RouterDC repository states none",
        graded: "ARC-Challenge and WinoGrande, answered directly with one letter, and MBPP, answered with code; with the real cost of each answer in USD. Models of 2023. The domain «general» is WinoGrande alone.",
        caution: None,
    },
    Source {
        file: "outcomes_evouna",
        title: "EVOUNA",
        from: "wangcunxiang/QA-Eval 90007d39d4ef0720984f80d56a586c66d6241e70 (2024-04-09)",
        licence: "Apache-2.0",
        graded: "Open questions of fact (Natural Questions, TriviaQA), judged right or wrong by people. Models of 2023, and only one small one: nothing to mix, only to fall back.",
        caution: Some("there is only one small model, so nothing is mixed."),
    },
    Source {
        file: "outcomes_zeroeval_crux",
        title: "ZeroEval CRUX",
        from: ZEROEVAL,
        licence: "Apache-2.0 (CRUXEval: MIT)",
        graded: "What does this Python function return: reasoning, then an answer that must be the same string.",
        caution: None,
    },
    Source {
        file: "outcomes_zeroeval_math_l5",
        title: "ZeroEval MATH level 5",
        from: ZEROEVAL,
        licence: "Apache-2.0 (MATH: MIT)",
        graded: "Competition mathematics of the hardest level, with reasoning; the answer must be the same string or number.",
        caution: None,
    },
    Source {
        file: "outcomes_zeroeval_zebra",
        title: "ZeroEval Zebra grid",
        from: ZEROEVAL,
        licence: "Apache-2.0",
        graded: "Logic puzzles from one template; right only when the whole grid is. An answer that could not be read counts as wrong.",
        caution: None,
    },
];

/// What is known of a file by its name.
pub(super) fn of(file: &str) -> Option<&'static Source> {
    let stem = file.split('.').next().unwrap_or_default();
    SOURCES.iter().find(|source| source.file == stem)
}
