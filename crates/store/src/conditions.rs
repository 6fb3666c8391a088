use postgres_types::ToSql;

/// The conditions of a search, of which each may be left out; the parameters are numbered as they come.
pub(crate) struct Conditions {
    sql: String,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    pub(crate) fn new() -> Self {
        Self { sql: "true".to_owned(), values: Vec::new() }
    }

    /// One that has no parameter.
    pub(crate) fn always(mut self, sql: &str) -> Self {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self
    }

    /// One that is left out where its value is; `?` stands for the value.
    pub(crate) fn and<T: ToSql + Sync + Send + 'static>(mut self, sql: &str, value: Option<T>) -> Self {
        let Some(value) = value else { return self };
        self.values.push(Box::new(value));
        let number = format!("${}", self.values.len());
        self.always(&sql.replace('?', &number))
    }

    /// One of two values; `?1` and `?2` stand for them.
    pub(crate) fn and_both<A, B>(mut self, sql: &str, values: Option<(A, B)>) -> Self
    where
        A: ToSql + Sync + Send + 'static,
        B: ToSql + Sync + Send + 'static,
    {
        let Some((one, two)) = values else { return self };
        self.values.push(Box::new(one));
        let first = format!("${}", self.values.len());
        self.values.push(Box::new(two));
        let second = format!("${}", self.values.len());
        self.always(&sql.replace("?1", &first).replace("?2", &second))
    }

    /// What was said so far, and conditions of another part of the statement, whose numbers go on.
    pub(crate) fn and_then(mut self) -> (String, Self) {
        let so_far = std::mem::replace(&mut self.sql, "true".to_owned());
        (so_far, self)
    }

    /// Behind `WHERE`.
    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    pub(crate) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect()
    }
}
