//! Files and lines that differ: as data, and as a unified diff.

use super::Style;
use serde::Serialize;

/// A file that differs between two trees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Path in the project.
    pub path: String,
    /// Its digest before; `None`: it was not there.
    pub before: Option<String>,
    /// Its digest now; `None`: it is gone.
    pub now: Option<String>,
}

impl FileChange {
    /// Writes both sides shortly: `3c1f08 → 9ab27e`, `new`, `gone`.
    pub fn sides(&self) -> String {
        let short = |digest: &String| digest.chars().take(6).collect::<String>();
        match (&self.before, &self.now) {
            (Some(before), Some(now)) if short(before) == short(now) => "mode changed".to_owned(),
            (Some(before), Some(now)) => format!("{} → {}", short(before), short(now)),
            (None, Some(_)) => "new".to_owned(),
            (Some(_), None) => "gone".to_owned(),
            (None, None) => String::new(),
        }
    }
}

/// Texts that differ, as a unified diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextChange {
    /// Path before and after; the same unless two files are compared.
    pub paths: [String; 2],
    /// Its hunks; empty where the texts are not kept or too long to compare.
    pub hunks: Vec<Hunk>,
}

/// Lines that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hunk {
    /// Number of the first line on each side, from 1.
    pub lines: [usize; 2],
    /// Lines with their sign: a space, `-` or `+`.
    pub text: Vec<String>,
}

/// Lines around a change that are shown.
const AROUND: usize = 2;
/// Most lines of a text that are compared: the table has their product.
const LINES: usize = 2_000;

impl TextChange {
    /// Compares two texts.
    pub fn of(paths: [&str; 2], before: Option<&str>, now: Option<&str>) -> Self {
        let paths = paths.map(str::to_owned);
        let (Some(before), Some(now)) = (before, now) else { return Self { paths, hunks: Vec::new() } };
        if before.lines().count().max(now.lines().count()) > LINES {
            return Self { paths, hunks: Vec::new() };
        }
        Self { paths, hunks: hunks(&script(before, now)) }
    }

    /// Writes it, each line after `indent`.
    pub fn text(&self, indent: &str, style: Style) -> String {
        let [before, now] = &self.paths;
        let title = if before == now { now.clone() } else { format!("{before} → {now}") };
        let mut text = format!("{indent}{title}\n");
        if self.hunks.is_empty() {
            text.push_str(&format!("{indent}  differs; the texts are not kept or too long to compare\n"));
        }
        for hunk in &self.hunks {
            let [before, now] = hunk.lines;
            text.push_str(&format!("{indent}{}\n", style.dim(&format!("@@ line {before} → {now} @@"))));
            for line in &hunk.text {
                let painted = match line.chars().next() {
                    Some('-') => style.bad(line),
                    Some('+') => style.good(line),
                    _ => line.clone(),
                };
                text.push_str(&format!("{indent}{}\n", painted.trim_end()));
            }
        }
        text
    }
}

/// One line of the way from one text to the other.
type Line<'a> = (char, &'a str);

/// Groups changes with the lines around them.
fn hunks(script: &[Line]) -> Vec<Hunk> {
    let mut hunks: Vec<(usize, Hunk)> = Vec::new();
    let mut places = [1_usize, 1];
    let mut numbers = Vec::with_capacity(script.len());
    for (sign, _) in script {
        numbers.push(places);
        if *sign != '+' {
            places[0] += 1;
        }
        if *sign != '-' {
            places[1] += 1;
        }
    }
    for (at, _) in script.iter().enumerate().filter(|(_, (sign, _))| *sign != ' ') {
        let from = match hunks.last() {
            Some((end, _)) if at.saturating_sub(AROUND) <= *end => *end,
            _ => {
                let from = at.saturating_sub(AROUND);
                let lines = numbers.get(from).copied().unwrap_or([1, 1]);
                hunks.push((from, Hunk { lines, text: Vec::new() }));
                from
            }
        };
        let Some((end, hunk)) = hunks.last_mut() else { continue };
        let to = (at + AROUND + 1).min(script.len());
        let more = script.get(from.min(to)..to).unwrap_or_default();
        hunk.text.extend(more.iter().map(|(sign, line)| format!("{sign}{line}")));
        *end = to.max(from);
    }
    hunks.into_iter().map(|(_, hunk)| hunk).collect()
}

/// The way from one text to the other: the longest common subsequence stays.
fn script<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // What is the same at both ends is most of it: the table below is for the rest.
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let middle_old = old.get(head..old.len() - tail).unwrap_or_default();
    let middle_new = new.get(head..new.len() - tail).unwrap_or_default();
    let mut lines: Vec<Line> = old.iter().take(head).map(|line| (' ', *line)).collect();
    lines.extend(middle(middle_old, middle_new));
    lines.extend(old.iter().skip(old.len() - tail).map(|line| (' ', *line)));
    lines
}

fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let width = new.len() + 1;
    let mut common = vec![0_u16; (old.len() + 1) * width];
    let at = |common: &[u16], i: usize, j: usize| common.get(i * width + j).copied().unwrap_or(0);
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let best = if a == b {
                at(&common, i + 1, j + 1).saturating_add(1)
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(cell) = common.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => {
                lines.push((' ', *a));
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), b) if b.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) => {
                lines.push(('-', *a));
                i += 1;
            }
            (_, Some(b)) => {
                lines.push(('+', *b));
                j += 1;
            }
            (_, None) => break,
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(before: &str, now: &str) -> String {
        TextChange::of(["f", "f"], Some(before), Some(now)).text("", Style::default())
    }

    #[test]
    fn lines_that_went_and_came_stand_among_their_neighbours() {
        assert_eq!(
            diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\nfour\n5\n6\n7\n8\n9\nten\n"),
            "f\n@@ line 2 → 2 @@\n 2\n 3\n-4\n+four\n 5\n 6\n@@ line 8 → 8 @@\n 8\n 9\n+ten\n"
        );
        assert_eq!(diff("a\nb\nc", "a\nc"), "f\n@@ line 1 → 1 @@\n a\n-b\n c\n");
        assert_eq!(diff("", "a"), "f\n@@ line 1 → 1 @@\n+a\n");
    }

    #[test]
    fn applying_the_script_gives_the_other_text() {
        let texts = ["", "a", "a\na", "a\nb\na\nc", "c\na\nb", "b\nb\na\na\nc", "x\ny"];
        for old in texts {
            for new in texts {
                let kept = |without: char| {
                    let script = script(old, new);
                    let lines = script.iter().filter(|(sign, _)| *sign != without).map(|(_, line)| *line);
                    lines.collect::<Vec<_>>().join("\n")
                };
                assert_eq!((kept('+').as_str(), kept('-').as_str()), (old, new));
            }
        }
    }
}
