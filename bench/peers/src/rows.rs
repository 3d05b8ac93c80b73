//! Rows that berth has written, column by column in Postgres's binary form: what an array of a statement is made of
//! without looking at it.

use std::error::Error;

use anyhow::{Context, Result};
use tokio_postgres::Client;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A value as it travels.
#[derive(Debug)]
pub struct Raw(pub Option<Vec<u8>>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(bytes) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A column of a table. An array within a row, which `unnest` would flatten, travels as its text, as berth's do.
#[derive(Debug)]
struct Column {
    name: String,
    of_type: String,
    is_array: bool,
    values: Vec<Raw>,
}

#[derive(Debug)]
pub struct Table {
    name: &'static str,
    columns: Vec<Column>,
}

impl Table {
    /// The rows that `which`, the end of a query, picks; as many as `rows` at most.
    pub async fn read(client: &Client, name: &'static str, which: &str, rows: usize) -> Result<Table> {
        let described = client
            .query(
                "select attname::text, format_type(atttypid, atttypmod), attndims > 0 from pg_attribute \
                 where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = '' \
                 order by attnum",
                &[&name],
            )
            .await?;
        let mut columns: Vec<Column> = described
            .iter()
            .map(|row| Column { name: row.get(0), of_type: row.get(1), is_array: row.get(2), values: Vec::new() })
            .collect();
        let read = |column: &Column| match column.is_array {
            true => format!("{}::text", column.name),
            false => column.name.clone(),
        };
        let list: Vec<String> = columns.iter().map(read).collect();
        let found = client.query(&format!("select {} from {name} {which} limit {rows}", list.join(", ")), &[]).await?;
        for row in &found {
            for (index, column) in columns.iter_mut().enumerate() {
                column.values.push(row.try_get(index)?);
            }
        }
        Ok(Table { name, columns })
    }

    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }

    pub fn values(&self, name: &str) -> Result<&[Raw]> {
        let column = self.columns.iter().find(|column| column.name == name);
        Ok(&column.with_context(|| format!("{} has no column {name}", self.name))?.values)
    }

    /// The insert into the copy of the table, its first parameter of this number.
    pub fn insert(&self, first: usize) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let parameter = |(index, column): (usize, &Column)| {
            let element = if column.is_array { "text" } else { column.of_type.as_str() };
            format!("${}::{element}[]", first + index)
        };
        let value = |column: &Column| match column.is_array {
            true => format!("new.{}::{}", column.name, column.of_type),
            false => format!("new.{}", column.name),
        };
        format!(
            "insert into berth_bulk.{} ({}) select {} from unnest({}) as new ({})",
            self.name,
            names.join(", "),
            self.columns.iter().map(value).collect::<Vec<_>>().join(", "),
            self.columns.iter().enumerate().map(parameter).collect::<Vec<_>>().join(", "),
            names.join(", "),
        )
    }

    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The arrays of some of the rows; `new` stands in for the columns that it names.
    pub fn arrays<'a>(&'a self, from: usize, count: usize, new: &[(&str, &'a [Raw])]) -> Vec<&'a [Raw]> {
        let given = |column: &Column| new.iter().find(|(name, _)| *name == column.name).map(|(_, values)| *values);
        self.columns.iter().map(|column| given(column).unwrap_or(&column.values[from..from + count])).collect()
    }
}
