//! The modules of a crate, and which names of each other they use.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

use super::Source;

/// The names on the path from the root of a crate to a module or item.
pub(super) type ModulePath = Vec<String>;

/// The modules of one crate.
#[derive(Debug, Default)]
pub(super) struct ModuleTree {
    modules: BTreeMap<ModulePath, Module>,
    /// The modules that declare macros. Macros have their names at the root.
    macros: BTreeMap<String, ModulePath>,
}

/// A module with its own file. Inline modules count as part of their file.
#[derive(Debug, Default)]
struct Module {
    file: String,
    /// The modules that it declares.
    children: Vec<String>,
    /// The macros that it declares.
    macros: Vec<String>,
    /// Imported and re-exported names, and what they refer to.
    imports: BTreeMap<String, ModulePath>,
    /// Paths that it uses, and their lines.
    named: Vec<(ModulePath, usize)>,
}

/// A use of one module's name in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) from: ModulePath,
    pub(super) to: ModulePath,
    pub(super) file: String,
    /// From 1.
    pub(super) line: usize,
}

impl ModuleTree {
    /// Reads the crate with this root file, without its tests: without what is under `#[cfg(test)]`.
    pub(super) fn read(root: &str, sources: &[Source]) -> Result<Self> {
        let files: BTreeMap<&str, &str> = sources.iter().map(|source| (source.path.as_str(), &*source.text)).collect();
        let mut tree = Self::default();
        let mut pending = vec![(ModulePath::new(), root.to_owned())];
        while let Some((path, file)) = pending.pop() {
            let text = files.get(file.as_str()).with_context(|| format!("there is no file {file}"))?;
            let tokens = text.parse().map_err(|error| anyhow!("{file} is not Rust: {error}"))?;
            let mut module = Module { file: file.clone(), ..Module::default() };
            Scan { module: &mut module, path: &path, inside: &mut Vec::new() }.items(tokens);
            let folder = folder_of(&file, path.is_empty());
            for child in &module.children {
                let places = [format!("{folder}/{child}.rs"), format!("{folder}/{child}/mod.rs")];
                // Only test modules have a `path` attribute.
                let Some(place) = places.into_iter().find(|place| files.contains_key(place.as_str())) else { continue };
                pending.push((joined(&path, [child.clone()]), place));
            }
            tree.macros.extend(module.macros.drain(..).map(|name| (name, path.clone())));
            tree.modules.insert(path, module);
        }
        Ok(tree)
    }

    /// The modules that the root declares.
    pub(super) fn top(&self) -> impl Iterator<Item = &str> {
        self.modules.get(&[][..]).into_iter().flat_map(|root| &root.children).map(String::as_str)
    }

    /// All uses of other modules.
    pub(super) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (from, module) in &self.modules {
            for (path, line) in &module.named {
                let to = self.declaring(path);
                if to != *from {
                    uses.push(Use { from: from.clone(), to, file: module.file.clone(), line: *line });
                }
            }
        }
        uses
    }

    /// The module that declares the item at a path, resolving re-exports.
    fn declaring(&self, path: &[String]) -> ModulePath {
        let mut path = path.to_vec();
        // The longest chain of re-exports that is followed.
        for _ in 0..16 {
            let prefixes = (0..=path.len()).rev().map(|depth| path.split_at(depth));
            let known = prefixes.into_iter().find(|(module, _)| self.modules.contains_key(*module));
            let (found, rest) = known.expect("every path starts at the root, which is a module");
            let import = rest.first().and_then(|name| self.modules.get(found)?.imports.get(name));
            let declared = rest.first().and_then(|name| self.macros.get(name)).filter(|_| found.is_empty());
            match (import, declared) {
                (Some(target), _) => path = joined(target, rest.iter().skip(1).cloned()),
                (None, Some(module)) => return module.clone(),
                (None, None) => return found.to_vec(),
            }
        }
        path
    }
}

/// Scans the tokens of a file.
struct Scan<'m> {
    module: &'m mut Module,
    path: &'m ModulePath,
    /// The inline modules around the current tokens.
    inside: &'m mut Vec<String>,
}

impl Scan<'_> {
    fn items(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some((token, rest)) = tokens.get(at..).and_then(<[_]>::split_first) {
            at += match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' && is_test(rest.first()) => item_len(rest),
                TokenTree::Ident(word) if word == "use" && !is_punct(rest.first(), '<') => {
                    let tree = rest.split(|token| is_punct(Some(token), ';')).next().unwrap_or_default();
                    self.import(tree, &[]);
                    1 + tree.len()
                }
                TokenTree::Ident(word) if word == "mod" => self.module(rest.first(), rest.get(1)),
                TokenTree::Ident(word) if word == "macro_rules" => {
                    self.module.macros.extend(rest.get(1).map(ToString::to_string));
                    3
                }
                // `pub(in path)` restricts who may use an item; it is not a use.
                TokenTree::Ident(word) if word == "pub" && is_group(rest.first(), Delimiter::Parenthesis) => 2,
                TokenTree::Ident(first) => self.path(first, rest),
                TokenTree::Group(group) => {
                    self.items(group.stream());
                    1
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => 1,
            };
        }
    }

    /// A declared or an inline module. Returns the number of its tokens.
    fn module(&mut self, name: Option<&TokenTree>, body: Option<&TokenTree>) -> usize {
        let Some(name) = name.map(ToString::to_string) else { return 1 };
        match body {
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => {
                self.inside.push(name);
                self.items(body.stream());
                self.inside.pop();
                3
            }
            _ if is_punct(body, ';') => {
                self.module.children.push(name);
                3
            }
            _ => 1,
        }
    }

    /// An import, below these names.
    fn import(&mut self, tree: &[TokenTree], begin: &[String]) {
        let mut names = begin.to_vec();
        for (index, token) in tree.iter().enumerate() {
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    let alias = tree.get(index + 1).map(ToString::to_string);
                    return self.imported(names, alias, token);
                }
                TokenTree::Ident(word) => names.push(word.to_string()),
                TokenTree::Group(group) => {
                    let branches: Vec<TokenTree> = group.stream().into_iter().collect();
                    branches
                        .split(|token| is_punct(Some(token), ','))
                        .filter(|branch| !branch.is_empty())
                        .for_each(|branch| self.import(branch, &names));
                    return;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        if let Some(last) = tree.last() {
            self.imported(names, None, last);
        }
    }

    fn imported(&mut self, mut names: Vec<String>, alias: Option<String>, token: &TokenTree) {
        if names.len() > 1 && names.last().is_some_and(|name| name == "self") {
            names.pop();
        }
        let name = alias.or_else(|| names.last().cloned());
        let Some(path) = self.absolute(&names) else { return };
        if self.inside.is_empty() {
            self.module.imports.extend(name.map(|name| (name, path.clone())));
        }
        self.module.named.push((path, token.span().start().line));
    }

    /// A path in an expression or a type. Returns the number of its tokens.
    fn path(&mut self, first: &Ident, mut rest: &[TokenTree]) -> usize {
        let mut names = vec![first.to_string()];
        while let [colon, second, TokenTree::Ident(name), others @ ..] = rest
            && is_punct(Some(colon), ':')
            && is_punct(Some(second), ':')
        {
            names.push(name.to_string());
            rest = others;
        }
        if names.len() > 1 {
            let line = first.span().start().line;
            self.module.named.extend(self.absolute(&names).map(|path| (path, line)));
        }
        3 * names.len() - 2
    }

    /// The path from the root of the crate. `None` if it leads to another crate, or starts with an imported name, which
    /// was counted at its import.
    fn absolute(&self, names: &[String]) -> Option<ModulePath> {
        let mut inside = self.inside.len();
        let mut base = self.path.as_slice();
        let mut rest = names;
        match names.first()?.as_str() {
            "crate" => return Some(names.iter().skip(1).cloned().collect()),
            "self" => rest = names.get(1..)?,
            "super" => {}
            child if self.inside.is_empty() && self.module.children.iter().any(|name| name == child) => {}
            _ => return None,
        }
        while let Some((_, others)) = rest.split_first().filter(|(name, _)| *name == "super") {
            rest = others;
            match inside.checked_sub(1) {
                Some(outer) => inside = outer,
                None => base = base.split_last()?.1,
            }
        }
        // Items of an inline module belong to the file.
        Some(if inside > 0 { base.to_vec() } else { joined(base, rest.iter().cloned()) })
    }
}

fn joined(base: &[String], more: impl IntoIterator<Item = String>) -> ModulePath {
    base.iter().cloned().chain(more).collect()
}

/// The folder of the modules that a file declares.
fn folder_of(file: &str, is_root: bool) -> &str {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    if is_root || name == "mod.rs" { folder } else { file.trim_end_matches(".rs") }
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn is_group(token: Option<&TokenTree>, delimiter: Delimiter) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == delimiter)
}

/// Whether the tokens after a `#` are `[cfg(test)]`.
fn is_test(attribute: Option<&TokenTree>) -> bool {
    attribute.is_some_and(|attribute| attribute.to_string().replace(' ', "") == "[cfg(test)]")
}

/// The number of tokens up to the end of the item with this attribute: a semicolon or, except for an import, a body in
/// braces.
fn item_len(tokens: &[TokenTree]) -> usize {
    let is_word = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(ident) if ident == word);
    let mut words = tokens.iter().filter(|token| matches!(token, TokenTree::Ident(word) if word != "pub"));
    let is_import = words.next().is_some_and(|first| is_word(first, "use"));
    let is_end = |token| is_punct(Some(token), ';') || (!is_import && is_group(Some(token), Delimiter::Brace));
    tokens.iter().position(is_end).map_or(tokens.len(), |last| last + 2)
}
