//! `tidegate eval`: evaluates an expression.

use super::{Exit, Failure, Globals};
use serde_json::{Value as Json, json};
use std::io::{BufRead as _, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use tidegate_lang::expr::{EvalError, JsonContexts, Stage, Template, answer, evaluate_text};
use tidegate_lang::source::{Diagnostic, Sources, Span, Style, render};
use tidegate_lang::value::Value;

/// Arguments of `tidegate eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate eval 'contains(github.ref, \"main\")' --context contexts.json
  tidegate eval '1 < 2' --format json
  tidegate eval --format json < requests.jsonl    {\"expr\": …, \"contexts\": {…}} a line")]
pub struct Args {
    /// The expression, with or without `${{ }}`
    #[arg(required_unless_present = "format", allow_hyphen_values = true)]
    expr: Option<String>,
    /// A JSON file whose members are the contexts
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,
    /// How the answer is written; `json` without an expression answers requests, one a line
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Text as it is, all else as JSON.
    Text,
    /// `{"kind", "value"}`, or `{"error": {"kind", "message", "offset"}}`.
    Json,
}

/// Runs the command.
pub fn run(args: Args, globals: &Globals) -> Result<Exit, Failure> {
    let json = args.format == Some(Format::Json);
    let contexts = args.context.as_deref().map_or(Ok(json!({})), read_contexts)?;
    let Some(expr) = args.expr else {
        if !json {
            return Err(
                Failure::wrong("there is no expression").hint("tidegate eval 'contains(\"abc\", \"b\")'")
            );
        }
        return requests();
    };
    let contexts = JsonContexts::new(&contexts);
    match evaluate(&expr, &contexts) {
        Ok(value) if json => {
            globals.print(format!("{}\n", json!({"kind": value.kind(), "value": Json::from(&value)})))?;
            Ok(Exit::Good)
        }
        Ok(Value::String(text)) => globals.print(format!("{text}\n")).map(|()| Exit::Good),
        Ok(Value::Number(number)) => {
            globals.print(format!("{}\n", tidegate_lang::value::number_text(number))).map(|()| Exit::Good)
        }
        Ok(value) => globals.print(format!("{}\n", value.to_pretty_json())).map(|()| Exit::Good),
        Err(e) if json => {
            let error = json!({"kind": e.stage.word(), "message": e.message, "offset": e.offset});
            globals.print(format!("{}\n", json!({ "error": error })))?;
            Ok(Exit::Wrong)
        }
        Err(e) => {
            globals.warn(picture(&expr, &e, globals));
            Ok(Exit::Wrong)
        }
    }
}

fn evaluate(expr: &str, contexts: &JsonContexts) -> Result<Value, EvalError> {
    if expr.contains("${{") {
        let template = Template::parse(&expr.into(), Span::default(), contexts)?;
        return template.evaluate(contexts);
    }
    evaluate_text(expr, contexts)
}

/// Draws the expression with a caret under the word that is wrong.
fn picture(expr: &str, error: &EvalError, globals: &Globals) -> String {
    let mut sources = Sources::default();
    let file = sources.add("expression", expr);
    let rest = expr.get(error.offset as usize..).unwrap_or_default();
    let word = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-')).unwrap_or(rest.len());
    let length = u32::try_from(word.max(1)).unwrap_or(1);
    let span = Span { file, start: error.offset, end: error.offset.saturating_add(length) };
    let rule = if error.stage == Stage::Evaluation { "expr-evaluation" } else { "expr-syntax" };
    let style = Style { color: globals.color_errors(), width: globals.width().unwrap_or(100) };
    render(&sources, &[Diagnostic::error(rule, span, error.message.clone())], style)
}

fn read_contexts(path: &Path) -> Result<Json, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::wrong(format!("cannot read {shown}")).caused_by(&e))?;
    let json: Json = serde_json::from_str(&text)
        .map_err(|e| Failure::wrong(format!("{shown} is not JSON")).caused_by(&e))?;
    if json.is_object() {
        return Ok(json);
    }
    Err(Failure::wrong(format!("{shown} must hold a JSON object: its members are the contexts")))
}

/// Answers requests from standard input until it ends, each at once, so that a program can ask one
/// at a time.
fn requests() -> Result<Exit, Failure> {
    let mut input = std::io::stdin().lock();
    let mut output = BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line);
        if read.map_err(|e| Failure::tool("cannot read standard input").caused_by(&e))? == 0 {
            return Ok(Exit::Good);
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        let written = writeln!(output, "{}", answer(&text)).and_then(|()| output.flush());
        match written {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Good),
            other => other.map_err(|e| Failure::tool("cannot write to standard output").caused_by(&e))?,
        }
    }
}
